"""The `ostler` command. The only part that ends the process, by the code that `main` returns."""

from ostler.cli.command import main

__all__ = ["main"]
