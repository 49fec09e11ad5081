"""X3D-XS, -S and -M (Feichtenhofer, CVPR 2020): a network for clips, and a backbone for FrameExit."""
