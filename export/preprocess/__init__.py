"""Preprocessing as ONNX graphs that match the original implementations up to rounding."""
