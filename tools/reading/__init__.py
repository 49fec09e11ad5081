"""Measure what reading costs: pixels in memory, folders of JPEG images and H.264 files, against another checkout."""
