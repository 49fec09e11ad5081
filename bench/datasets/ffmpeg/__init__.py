"""Frames as the ffmpeg program extracts them: its timestamps, its choice of frames at a constant rate, its JPEGs."""
