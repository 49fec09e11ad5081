"""Graphs: tracing parts to ONNX, folding their batch norms, counting their MACs, and writing them."""
