"""Where we listen: taken addresses, sockets that others opened, files that we leave."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from tests.integration.helpers import HELLO, Serve
from tests.integration.helpers.load import GET


def test_taken_port_names_its_owner(serve: Serve) -> None:
    first = serve(serve.source(HELLO))
    second = serve("app", bind=f"127.0.0.1:{first.port}", ready=False)
    assert second.wait() == 1
    expected = f"hostler: bind 127.0.0.1:{first.port}: address already in use"
    if sys.platform == "linux":
        expected += f' by "hostler serve app:application --bind 127.0.0.1:0 --workers 1" (pid {first.pid})'
    assert second.log == f"{expected}\n"


def test_living_unix_socket_is_not_taken_over(serve: Serve, tmp_path: Path) -> None:
    bind = f"unix:{tmp_path}/app.sock"
    first = serve(serve.source(HELLO), bind=bind)
    second = serve("app", bind=bind, ready=False)
    assert second.wait() == 1
    assert "address already in use" in second.log
    with first.connect() as connection:
        assert connection.request(GET).body == b"hello"


def test_unix_socket_has_its_mode(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    serve(serve.source(HELLO), "--unix-mode", "606", bind=f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o606


def test_sockets_of_systemd(serve: Serve) -> None:
    """The manager sets LISTEN_PID to our pid, so we are started by a shell that becomes us."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        launch = (
            "import os, sys; fd = int(sys.argv[1]); os.dup2(fd, 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
            "os.execv(sys.executable, [sys.executable, '-m', 'hostler', 'serve', *sys.argv[2:]])"
        )
        python = ("-c", launch, str(listener.fileno()))
        server = serve(serve.source(ENVIRON), pass_fds=[listener.fileno()], python=python)
        assert server.addresses == [listener.getsockname()]
        assert "sockets of systemd are used in place of bind sockets=1" in server.log
        with server.connect() as connection:
            assert connection.request(GET).body == b"none"


# Whether children would believe that the sockets are theirs.
ENVIRON = """
    import os
    def application(environ, start_response):
        start_response("200 OK", [])
        return [",".join(key for key in os.environ if key.startswith("LISTEN_")).encode() or b"none"]
"""


def test_closed_standard_streams_do_no_harm(serve: Serve, tmp_path: Path) -> None:
    """Else a socket gets number 1 or 2, and logs go to clients."""
    launch = (
        "import os, sys; os.closerange(0, 3); "
        "os.execv(sys.executable, [sys.executable, '-m', 'hostler', 'serve', *sys.argv[1:]])"
    )
    path = tmp_path / "app.sock"
    server = serve(
        serve.source(ENVIRON), "--error-log", "error.log", bind=f"unix:{path}", python=("-c", launch), ready=False
    )
    server.log_path = tmp_path / "error.log"
    server.wait_for(server.log_path.exists, "the log")
    server.wait_ready()
    with server.connect() as connection:
        assert connection.request(GET).body == b"none"


def test_pidfile_of_a_living_server_is_refused(serve: Serve, tmp_path: Path) -> None:
    pidfile = tmp_path / "hostler.pid"
    first = serve(serve.source(HELLO), "--pidfile", str(pidfile))
    assert pidfile.read_text() == f"{first.pid}\n"
    second = serve("app", "--pidfile", str(pidfile), ready=False)
    assert second.wait() == 1
    assert f"pidfile {pidfile}: it belongs to" in second.log
    assert pidfile.read_text() == f"{first.pid}\n"
    assert first.stop() == 0
    assert os.listdir(tmp_path).count("hostler.pid") == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6(serve: Serve) -> None:
    server = serve(serve.source(HELLO), bind=["[::1]:0", "127.0.0.1:0"])
    for index in range(2):
        with server.connect(index) as connection:
            assert connection.request(GET).body == b"hello"
