"""Graphs: trace a part to ONNX, fold, count and write it."""
