"""vbench: export, run and measure dynamic video-recognition networks.

import vbench
net = vbench.load("bundles/frameexit_r50", engine="ort")
result = net.predict("clip.mp4")
"""
__version__ = "0.1.0"
