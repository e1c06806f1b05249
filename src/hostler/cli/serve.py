"""`hostler serve`: run a web application until a signal ends it."""

from hostler.config import from_arguments, load

__all__ = ["serve"]


def serve(arguments: list[str]) -> int:
    """Read the configuration and hand over to the launcher, whose exit code is ours."""
    given = from_arguments(arguments)
    if given.request:
        from hostler.cli.help import answer

        return answer(given.request, "serve")
    config = load(given.assignments)

    from hostler.launcher import run

    return run(config, reread=lambda: load(given.assignments))
