"""Preprocessing as ONNX graphs, exact to the originals' rounding."""
