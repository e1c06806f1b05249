"""Plots as SVG, written by hand: bars side by side on one scale, and curves over one time.

Each has its own background, so that it can be read on light and dark pages whatever they think of the reader's wish.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 800
_STYLE = """
  svg { font: 12px system-ui, sans-serif; }
  .page { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; }
  .title { font-size: 15px; font-weight: 600; } .name { font-weight: 600; }
  .axis { stroke: #818b98; } .grid { stroke: #d1d9e0; } .level { stroke: #d1242f; stroke-dasharray: 5 4; }
  .band { fill: #818b98; opacity: 0.15; }
  .ours { fill: #0969da; } .theirs { fill: #bc6c25; } .curve { fill: none; stroke: #0969da; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .text { fill: #f0f6fc; } .faint { fill: #9198a1; }
    .axis { stroke: #656c76; } .grid { stroke: #2a313c; } .level { stroke: #f85149; }
    .ours { fill: #4493f8; } .theirs { fill: #e09f5a; } .curve { stroke: #4493f8; }
  }
"""


class Panel(NamedTuple):
    """One server's bars."""

    title: str
    note: str  # the numbers that the bars stand for
    values: Sequence[float]
    ours: bool


class Curve(NamedTuple):
    """One line over time, with a scale of its own from 0."""

    label: str
    points: Sequence[tuple[float, float]]
    top: float  # the scale reaches at least so far
    level: float  # a bound, drawn as a line


class _Box(NamedTuple):
    """Where a plot lies, axes without their labels."""

    left: float
    top: float
    width: float
    height: float


def bars(title: str, panels: Sequence[Panel], x_label: str, y_label: str, level: float | None = None) -> str:
    """Two panels in a row, all with one scale; `level` is drawn through each."""
    ticks = scale(max([*(value for panel in panels for value in panel.values), level or 0.0]))
    rows = math.ceil(len(panels) / 2)
    parts: list[str] = []
    for number, panel in enumerate(panels):
        box = _Box(62 + number % 2 * (WIDTH / 2 - 8), 88 + number // 2 * 250, WIDTH / 2 - 78, 150)
        parts += [
            _text(box.left, box.top - 28, panel.title, "text name"),
            _text(box.left, box.top - 11, panel.note, "faint"),
            *_frame(box, ticks, x_label, y_label),
            *_bars(box, panel, ticks[-1]),
        ]
        if level is not None:
            parts.append(_level(box, level / ticks[-1]))
    return _page(title, 60 + rows * 250, parts)


def curves(title: str, plots: Sequence[Curve], x_label: str, band: tuple[float, float], band_label: str) -> str:
    """One below the other over the same time; `band` is the time that is marked."""
    times = scale(max([at for plot in plots for at, _ in plot.points], default=1.0))
    parts: list[str] = []
    for number, plot in enumerate(plots):
        ticks = scale(max([plot.top, *(value for _, value in plot.points)]))
        box = _Box(62, 66 + number * 220, WIDTH - 92, 140)
        begin, end = (box.left + box.width * at / times[-1] for at in band)
        parts += [
            f'<rect class="band" x="{begin:.1f}" y="{box.top}" width="{end - begin:.1f}" height="{box.height}"/>',
            _text(begin + 4, box.top + 14, band_label, "faint"),
            *_frame(box, ticks, x_label, plot.label, times),
            _level(box, plot.level / ticks[-1]),
            _curve(box, plot, times[-1], ticks[-1]),
        ]
    return _page(title, 40 + len(plots) * 220, parts)


def scale(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, about five."""
    rough = (most or 1.0) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(most / step - 1e-9) + 1)] if most else [0.0, 1.0]


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}" rx="6"/>',
        _text(20, 28, title, "text title"),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start", more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _frame(box: _Box, ticks: Sequence[float], x_label: str, y_label: str, times: Sequence[float] = ()) -> Iterator[str]:
    """Grid, axes, and what they are called."""
    bottom, right = box.top + box.height, box.left + box.width
    for tick in ticks:
        y = bottom - box.height * tick / ticks[-1]
        yield _line(box.left, y, right, y, "grid" if tick else "axis")
        yield _text(box.left - 6, y + 4, f"{tick:g}", "faint", "end")
    for tick in times:
        yield _text(box.left + box.width * tick / times[-1], bottom + 16, f"{tick:g}", "faint", "middle")
    yield _text(box.left + box.width / 2, bottom + (34 if times else 18), x_label, "faint", "middle")
    x, y = box.left - 42, box.top + box.height / 2
    yield _text(x, y, y_label, "faint", "middle", f' transform="rotate(-90 {x:.1f} {y:.1f})"')


def _bars(box: _Box, panel: Panel, top: float) -> Iterator[str]:
    place = box.width / max(1, len(panel.values))
    for number, value in enumerate(panel.values):
        height = box.height * value / top
        yield (
            f'<rect class="{"ours" if panel.ours else "theirs"}" x="{box.left + (number + 0.12) * place:.1f}" '
            f'y="{box.top + box.height - height:.1f}" width="{place * 0.76:.1f}" height="{height:.1f}">'
            f"<title>{value:.4g}</title></rect>"
        )


def _level(box: _Box, part: float) -> str:
    y = box.top + box.height * (1 - part)
    return _line(box.left, y, box.left + box.width, y, "level")


def _curve(box: _Box, plot: Curve, last: float, top: float) -> str:
    points = (
        f"{box.left + box.width * at / last:.1f},{box.top + box.height * (1 - value / top):.1f}"
        for at, value in plot.points
    )
    return f'<polyline class="curve" points="{" ".join(points)}"/>'
