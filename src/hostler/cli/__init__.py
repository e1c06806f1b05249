"""The `hostler` command. The only part that ends the process, by the code that `main` returns."""

from hostler.cli.command import main

__all__ = ["main"]
