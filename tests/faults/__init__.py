"""Faults that no input causes: killed processes, full disks, and two processes with one output."""
