"""TensorRT: build, check, cache and run plans."""
