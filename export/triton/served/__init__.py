"""Code that runs inside Triton's Python backend: serves a bundle with vbench's own runtime.

The package travels in ``vbench.zip`` beside ``model.py`` and may import only ``runtime``, numpy and the module that the
backend provides, ``triton_python_backend_utils``.
"""
