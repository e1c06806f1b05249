"""Makes the database of the Django page: `python -m pages.fill`."""

from __future__ import annotations

import datetime
import os

import django

ROWS = 6


def fill() -> None:
    """Create the one table with its rows."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pages.settings")
    django.setup()
    from django.db import connection

    from pages.models import Horse

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")  # the file keeps it; as a site with several threads has it
    with connection.schema_editor() as editor:
        editor.create_model(Horse)
    colours = ("bay", "black", "chestnut", "grey")
    Horse.objects.bulk_create(
        Horse(
            name=f"Horse <{number:02}>",
            colour=colours[number % len(colours)],
            price=250 + 17 * number,
            arrived=datetime.date(2024, 1, 1) + datetime.timedelta(days=number),
        )
        for number in range(ROWS)
    )


if __name__ == "__main__":
    fill()
