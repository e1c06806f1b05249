"""Django's settings as a new project has them, without the admin."""

from __future__ import annotations

import os

SECRET_KEY = "only the benchmark uses this key"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "pages.urls"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.sessions", "django.contrib.messages", "pages"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}
POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ.get("BENCH_POSTGRES"),  # a directory: the socket is there
    "NAME": "postgres",
    "USER": "bench",
}
DATABASES = {
    # one connection a thread: opening them is not what is compared
    "default": (POSTGRES if POSTGRES["HOST"] else SQLITE) | {"CONN_MAX_AGE": None}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
