"""Package a bundle as a Triton Inference Server model repository."""
