"""Flask's first example, whose answers tell which process gave them."""

from __future__ import annotations

import os

from flask import Flask
from who import BODY

app = Flask(__name__)


@app.get("/")
def hello() -> tuple[bytes, dict[str, str]]:
    return BODY, {"X-Worker": str(os.getpid())}
