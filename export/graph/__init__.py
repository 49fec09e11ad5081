"""Graphs: trace parts to ONNX, fold their batch norms, count their MACs, and write them."""
