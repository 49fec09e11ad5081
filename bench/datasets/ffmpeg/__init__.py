"""Frame extraction that reproduces the ffmpeg program's timestamps, constant-rate frame selection and JPEGs."""
