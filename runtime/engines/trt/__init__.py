"""TensorRT: building, checking, caching and running plans."""
