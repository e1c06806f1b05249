"""A small real Django project: sessions, CSRF and messages on, one model, a template that extends another.

The database is a file of SQLite, or a PostgreSQL server where BENCH_POSTGRES names the directory of its socket.
"""
