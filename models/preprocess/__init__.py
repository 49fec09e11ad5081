"""Preprocessing in PyTorch, equivalent to the original implementations."""
