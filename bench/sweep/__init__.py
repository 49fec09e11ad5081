"""Sweep exit policies over traces, and tune one for a target."""
