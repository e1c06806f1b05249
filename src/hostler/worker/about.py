"""What a worker tells of its application when it is ready: facts for the start line, then what to warn of."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.worker.interfaces import Mounted

__all__ = ["describe"]


def describe(config: Config, apps: Sequence[Mounted]) -> str:
    """Lines: `app=shop.wsgi:application settings=shop.settings`, then one for each warning."""
    facts = [f"app={each.name}" for each in apps if each.name]
    settings = os.environ.get("DJANGO_SETTINGS_MODULE") if "django.conf" in sys.modules else None
    if settings:
        facts.append(f"settings={settings}")
    switch = None if config.reload == "on" else _debug_switch(apps)
    warnings = []
    if switch is not None:
        warnings.append(
            f"debug mode is on; error pages show the application's code and settings switch={switch} "
            "remedy=turn it off, or serve with --reload while you develop"
        )
    return "\n".join([" ".join(facts), *warnings])


def _debug_switch(apps: Sequence[Mounted]) -> str | None:
    """Where debug mode is turned on: in Django's settings, or in an application of Flask, Starlette and others."""
    django = sys.modules.get("django.conf")
    try:
        if django is not None and django.settings.configured and django.settings.DEBUG:
            return f"DEBUG of {os.environ.get('DJANGO_SETTINGS_MODULE') or 'the settings'}"
        # Only `True` itself: objects that have every attribute exist.
        return next((f"debug of {each.name}" for each in apps if getattr(each.app, "debug", None) is True), None)
    except Exception:  # settings and attributes run the application's code
        return None
