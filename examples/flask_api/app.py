"""A small JSON API: notes in SQLite. Run it with `hostler serve "app:create_app()"`."""

import json
import os
import sqlite3
from collections.abc import Iterator

from flask import Flask, Response, current_app, g, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

SCHEMA = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
MAX_TEXT = 10_000  # characters


def create_app(database: str | None = None) -> Flask:
    """Build the application; its notes live in `database`, or in $NOTES_DB."""
    app = Flask(__name__)
    app.config["DATABASE"] = database or os.environ.get("NOTES_DB", "db.sqlite3")
    app.teardown_appcontext(close_database)
    app.register_error_handler(HTTPException, describe_error)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/notes", view_func=create_note, methods=["POST"])
    app.add_url_rule("/notes", view_func=list_notes)
    app.add_url_rule("/notes.ndjson", view_func=export_notes)
    app.add_url_rule("/notes/<int:number>", view_func=show_note)
    app.add_url_rule("/notes/<int:number>", view_func=delete_note, methods=["DELETE"])
    with app.app_context():
        database_connection().execute(SCHEMA)
    return app


def index() -> ResponseReturnValue:
    """What there is."""
    return {"notes": url_for("list_notes"), "export": url_for("export_notes")}


def create_note() -> ResponseReturnValue:
    """Store `{"text": …}`."""
    body = request.get_json()
    text = body.get("text") if isinstance(body, dict) else None
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
        raise BadRequest(f"text must be a string of 1 to {MAX_TEXT} characters")
    with database_connection() as database:
        number = database.execute("INSERT INTO notes (text) VALUES (?)", [text]).lastrowid
    response = jsonify(id=number, text=text)
    response.status_code = 201
    response.location = url_for("show_note", number=number)
    return response


def list_notes() -> ResponseReturnValue:
    """The newest 100 notes."""
    rows = database_connection().execute("SELECT id, text FROM notes ORDER BY id DESC LIMIT 100")
    return {"notes": [dict(row) for row in rows]}


def show_note(number: int) -> ResponseReturnValue:
    """One note."""
    query = "SELECT id, text FROM notes WHERE id = ?"
    row = database_connection().execute(query, [number]).fetchone()
    if row is None:
        raise NotFound(f"there is no note {number}")
    return dict(row)


def delete_note(number: int) -> ResponseReturnValue:
    """Remove one note."""
    with database_connection() as database:
        if not database.execute("DELETE FROM notes WHERE id = ?", [number]).rowcount:
            raise NotFound(f"there is no note {number}")
    return "", 204


def export_notes() -> ResponseReturnValue:
    """All notes, one JSON object a line, sent while they are read."""

    def lines(database: sqlite3.Connection) -> Iterator[str]:
        try:
            for row in database.execute("SELECT id, text FROM notes ORDER BY id"):
                yield json.dumps(dict(row)) + "\n"
        finally:  # Also when the client leaves: the server closes this iterator then.
            database.close()

    # A connection of its own: the request's is closed before the last line is sent.
    return Response(lines(connect()), mimetype="application/x-ndjson")


def describe_error(error: HTTPException) -> ResponseReturnValue:
    """Errors are JSON, too."""
    return {"error": error.description}, error.code or 500


def connect() -> sqlite3.Connection:
    """A new connection, ready to be used by this thread."""
    database = sqlite3.connect(current_app.config["DATABASE"], timeout=20)
    database.row_factory = sqlite3.Row
    return database


def database_connection() -> sqlite3.Connection:
    """The connection of this request."""
    if "database" not in g:
        g.database = connect()
    connection: sqlite3.Connection = g.database
    return connection


def close_database(_error: BaseException | None) -> None:
    """End the request's connection."""
    if "database" in g:
        g.pop("database").close()
