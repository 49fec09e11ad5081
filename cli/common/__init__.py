"""What subcommands share: options, output, progress."""
