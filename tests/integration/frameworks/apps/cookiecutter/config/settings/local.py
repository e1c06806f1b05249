"""A developer's."""

from .base import *  # noqa: F403

DEBUG = True
SECRET_KEY = "only for developers"
ALLOWED_HOSTS = ["localhost", "0.0.0.0", "127.0.0.1"]
