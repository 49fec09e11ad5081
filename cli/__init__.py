"""The ``vbench`` command: one module for each subcommand."""
