"""Fuzzing: damaged and hostile inputs of every kind that vbench reads, from seeds. Run it with ``python -m tests.fuzz``."""
