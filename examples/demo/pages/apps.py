"""The one Django app of the demo."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """Pages that each show one thing that an application server has to do well."""

    name = "pages"
