"""The only door to the native module, so that it is easy to see that the arbiter does not load it."""

from hostler._native import (
    Core,
    Loop,
    Upgrade,
    kill_when_closed,
    scoreboard_layout,
    signal_handler,
    widen_signal_stack,
)

__all__ = ["Core", "Loop", "Upgrade", "kill_when_closed", "scoreboard_layout", "signal_handler", "widen_signal_stack"]
