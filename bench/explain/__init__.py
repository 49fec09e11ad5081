"""Explain one video's prediction, step by step."""
