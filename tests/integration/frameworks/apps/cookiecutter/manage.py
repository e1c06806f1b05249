#!/usr/bin/env python
"""Django's command line, with the settings of a developer."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

    from django.core.management import execute_from_command_line

    # Applications of the project can be imported by their own names, too.
    sys.path.append(str(Path(__file__).parent.resolve() / "shop"))
    execute_from_command_line(sys.argv)
