"""Triton Inference Server: a bundle as a model repository."""
