"""Preprocessing compiled for the CPU: an optional replacement for ``preprocess.onnx`` that computes the same pixels."""
