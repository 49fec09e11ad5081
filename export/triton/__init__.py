"""Package a bundle as a model repository of Triton Inference Server."""
