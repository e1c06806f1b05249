"""`ostler gunicorn`: gunicorn's command line, environment and configuration file, as they are used today."""

from ostler.cli.gunicorn.command import gunicorn

__all__ = ["gunicorn"]
