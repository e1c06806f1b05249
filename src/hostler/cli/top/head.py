"""The lines above the tables: which server it is, and its sums."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from hostler.cli.spans import span
from hostler.cli.top.columns import COLOURS, DIM, RED, YELLOW, count, percent, rate, took
from hostler.cli.top.model import Server
from hostler.logs import counted
from hostler.proc.memory import megabytes

__all__ = ["head"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_FIELD = 8


def head(server: Server, history: Sequence[float], width: int) -> Text:
    """Four lines; `history` are the latest requests per second, drawn where there is room."""
    fields = _fields(server)
    wide = _FIELD + (2 if width >= 120 else 0)
    room = width - wide * len(fields) - 5
    labels = Text.assemble(*((title.rjust(wide), DIM) for title, _, _ in fields))
    values = Text.assemble(*((value.rjust(wide), colour or "bold") for _, value, colour in fields))
    if room >= 10:
        values.append("   ").append(_line(history[-room:]), "#4f9d69")
    return Text("\n").join([_title(server, width), labels, values, _workers(server)])


def _title(server: Server, width: int) -> Text:
    state = Text.assemble(("● ", COLOURS.get(server.state, "")), (server.state, COLOURS.get(server.state, "")))
    if server.is_reloading:
        state.append(", reloading", YELLOW)
    line = Text.assemble(
        ("  hostler ", "bold"),
        f"{server.version}   ",
        state,
        (f"   pid {server.pid}   up {span(server.uptime)}   ", DIM),
    )
    line.append(", ".join(server.listening))
    line.truncate(max(20, width - 1), overflow="ellipsis")
    return line


def _fields(server: Server) -> list[tuple[str, str, str]]:
    """Title, value, colour."""
    rates = server.rates
    return [
        ("req/s", rate(rates.requests), ""),
        ("CPU", percent(server.cpu), ""),
        ("memory", "-" if server.pss is None else megabytes(server.pss), ""),
        ("run", count(server.in_flight), ""),
        ("wait", count(server.queued), YELLOW if server.queued else ""),
        ("conns", count(server.connections), ""),
        ("p50", took(rates.p50), ""),
        ("p95", took(rates.p95), ""),
        ("p99", took(rates.p99), ""),
        ("4xx/s", rate(rates.client_errors), YELLOW if rates.client_errors else ""),
        ("5xx/s", rate(rates.server_errors), RED if rates.server_errors else ""),
    ]


def _workers(server: Server) -> Text:
    restarts = [f"{number} {reason}" for reason, number in server.restarts.items() if number]
    replaced = f"replaced {sum(server.restarts.values())}: {', '.join(restarts)}" if restarts else "none replaced"
    workers = f"{counted(server.wanted, 'worker')} of at most {server.most}"
    return Text(f"  {workers}   {replaced}", style=DIM)


def _line(history: Sequence[float]) -> str:
    """One block for each look, the highest is the most there was."""
    most = max(history, default=0.0) or 1.0
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(value / most * len(_BLOCKS)))] for value in history)
