"""The benchmark of ``vbench bench``."""
