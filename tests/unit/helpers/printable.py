"""The vectors of what a log may show."""

from __future__ import annotations

from tests.conftest import ROOT

VECTORS = ROOT / "tests" / "vectors" / "printable"
EXAMPLES = [line.split("\t") for line in (VECTORS / "examples.tsv").read_text(encoding="utf-8").split("\n") if line]
