"""How long the fleet waits for what."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Timing"]


class Timing(NamedTuple):
    """Waits in seconds."""

    graceful: float = 30.0  # for the requests that run when we stop
    boot: float = 0.0  # from fork to ready; 0: as long as it takes
    notice: float = 0.0  # for balancers to see that we will stop, before we do
    handshakes: float = 0.0  # for clients that are half connected when we stop
    silence: float = 0.0  # how long a worker may run no Python; 0: for ever
