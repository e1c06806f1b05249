"""`ostler check`: what would be served, and how, without listening."""

from collections.abc import Iterator

from ostler.config import Config, from_arguments, load

__all__ = ["check"]

_VALUE_WIDTH = 34  # a longer value pushes only its own source to the right


def check(arguments: list[str]) -> int:
    """Print every option with its value and source."""
    given = from_arguments(arguments)
    if given.request:
        from ostler.cli.help import answer

        return answer(given.request, "check")
    config = load(given.assignments)
    for line in _table(config):
        print(line)
    return 0


def _table(config: Config) -> Iterator[str]:
    rows = list(config.lines())
    names = max(len(name) for name, _, _ in rows)
    values = max(len(value) for _, value, _ in rows if len(value) <= _VALUE_WIDTH)
    for name, value, source in rows:
        yield f"{name:<{names}}  {value:<{values}}  {source}"
