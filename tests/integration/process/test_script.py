"""`hostler.serve(app)` in a script: an app that nobody can import, and a script that goes on after it."""

from __future__ import annotations

import textwrap

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.load import GET

SCRIPT = """
    import atexit, os, signal
    import hostler

    me = os.getpid()

    def main():
        greeting = b"from a closure"
        def app(environ, start_response):
            start_response("200 OK", [("Content-Length", str(len(greeting)))])
            return [greeting]
        handler = lambda number, frame: None
        signal.signal(signal.SIGTERM, handler)
        try:
            code = CALL
        finally:
            print("finally in", "the script" if os.getpid() == me else "a worker", flush=True)
        assert signal.getsignal(signal.SIGTERM) is handler
        print("serve returned", code, flush=True)

    main()
"""


@pytest.mark.parametrize(
    "call",
    [
        'hostler.serve(app, bind="127.0.0.1:0", workers=2)',
        'hostler.serve(app, "127.0.0.1", 0, workers=2)',
        'hostler.run(app, "127.0.0.1", 0, workers=2)',
    ],
)
def test_script_serves_and_goes_on(serve: Serve, call: str) -> None:
    path = serve.directory / "script.py"
    path.write_text(textwrap.dedent(SCRIPT).replace("CALL", call))
    server = serve(python=(str(path),))
    assert len(server.wait_children(2)) == 2
    with server.connect() as connection:
        assert connection.request(GET).body == b"from a closure"
    assert server.stop() == 0
    assert server.log.count("finally in the script") == 1
    assert "a worker" not in server.log
    assert server.log.count("serve returned 0") == 1


def test_what_is_no_app_ends_with_4(serve: Serve) -> None:
    path = serve.directory / "script.py"
    path.write_text("import hostler, sys\nsys.exit(hostler.serve({}, bind='127.0.0.1:0'))")
    server = serve(python=(str(path),), ready=False)
    assert server.wait() == 4
    assert 'cannot load "the app": dict object is not callable' in server.log
