"""What was measured: samples of each server in each scenario, and their way to a file and back."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """One server in one scenario. A sample is named `case.metric`, with one value a round."""

    peer: str
    version: str
    settings: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str = ""  # why the row does not count

    def add(self, case: str, values: dict[str, float]) -> None:
        """Keep what one round measured."""
        for metric, value in values.items():
            self.samples.setdefault(f"{case}.{metric}", []).append(value)

    def note(self, text: str) -> None:
        """Say something about the row, once."""
        if text not in self.notes:
            self.notes.append(text)

    def median(self, sample: str) -> float | None:
        """The middle round; None when the row failed or was never measured."""
        values = self.samples.get(sample)
        return statistics.median(values) if values and not self.error else None

    def spread(self, sample: str) -> float | None:
        """How far the rounds lie apart, as a part of their median."""
        middle = self.median(sample)
        values = self.samples.get(sample, [])
        return (max(values) - min(values)) / middle if middle and len(values) > 1 else None


@dataclass
class Result:
    """One scenario."""

    scenario: str
    rows: list[Row] = field(default_factory=list)

    def row(self, peer: str) -> Row | None:
        """The row of one server."""
        return next((row for row in self.rows if row.peer == peer), None)

    def median(self, peer: str, sample: str) -> float | None:
        """The middle round of one server."""
        row = self.row(peer)
        return row.median(sample) if row else None

    def disturbance(self) -> float | None:
        """How many cores other processes took meanwhile, in the middle of all measurements."""
        samples = [sample for row in self.rows for sample in row.samples.items()]
        values = [value for name, values in samples if name.endswith(".others") for value in values]
        return statistics.median(values) if values else None


@dataclass
class Report:
    """One run of the harness."""

    about: dict[str, str]  # date, machine, versions, options: what a reader needs to judge the numbers
    results: list[Result] = field(default_factory=list)

    def result(self, scenario: str) -> Result | None:
        """The result of one scenario."""
        return next((result for result in self.results if result.scenario == scenario), None)

    def median(self, scenario: str, peer: str, sample: str) -> float | None:
        """The middle round of one server in one scenario."""
        result = self.result(scenario)
        return result.median(peer, sample) if result else None

    def to_json(self) -> str:
        """Everything, readable by people too."""
        return json.dumps(_rounded(asdict(self)), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """What to_json wrote."""
        data = json.loads(text)
        results = [Result(item["scenario"], [Row(**row) for row in item["rows"]]) for item in data["results"]]
        return cls(data["about"], results)


def ratio(value: float | None, base: float | None) -> float | None:
    """value / base where both were measured."""
    return value / base if value is not None and base else None


def _rounded(value: Any) -> Any:
    """Floats with four significant digits; the rest of a measurement is noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
