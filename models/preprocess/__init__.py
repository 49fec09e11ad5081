"""Preprocessing in PyTorch, as in the original implementations."""
