"""Preprocessing in PyTorch, as the originals do it."""
