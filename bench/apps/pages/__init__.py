"""A small real Django project: sessions, CSRF and messages on, one model in SQLite, a template that extends another."""
