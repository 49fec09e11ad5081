"""Fuzzing: hostile inputs of every kind that vbench reads, generated from seeds (``python -m tests.fuzz``)."""
