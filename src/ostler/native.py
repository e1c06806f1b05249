"""The only door to the native module, so that whoever must not load it is easy to find: the arbiter."""

from ostler._native import Core, scoreboard_layout

__all__ = ["Core", "scoreboard_layout"]
