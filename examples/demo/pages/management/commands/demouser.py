"""Creates the demo's administrator."""

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

NAME = "demo"
PASSWORD = "demo"


class Command(BaseCommand):
    """Unlike `createsuperuser` it may run again: an existing user is left as it is."""

    help = "Create the administrator demo, password demo"

    def handle(self, *args: object, **options: object) -> None:
        """Create the user unless it is there."""
        users = get_user_model().objects
        if not users.filter(username=NAME).exists():
            users.create_superuser(NAME, password=PASSWORD)
            self.stdout.write(f"Created the administrator {NAME!r}, password {PASSWORD!r}")
