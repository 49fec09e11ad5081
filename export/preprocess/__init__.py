"""Preprocessing as ONNX graphs, which match the original implementations up to rounding."""
