"""What the fork server imports: packages of the commands that start no threads when they are imported."""

from tests.fuzz.command_line import preload

preload()
