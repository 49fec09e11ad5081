"""FrameExit and its backbones."""
