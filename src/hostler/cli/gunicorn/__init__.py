"""`hostler gunicorn`: gunicorn's command line, environment and configuration file, as they are used today."""

from hostler.cli.gunicorn.command import gunicorn

__all__ = ["gunicorn"]
