"""HOSTLER_* variables of a running server: options, what is none, and what Kubernetes makes."""

from __future__ import annotations

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.commands import ctl
from tests.integration.helpers.load import GET
from tests.integration.helpers.serve import HELLO

LINKS = {
    "HOSTLER_SERVICE_HOST": "10.0.0.7",
    "HOSTLER_SERVICE_PORT": "80",
    "HOSTLER_PORT": "tcp://10.0.0.7:80",
    "HOSTLER_PORT_80_TCP": "tcp://10.0.0.7:80",
    "HOSTLER_PORT_80_TCP_PROTO": "tcp",
    "HOSTLER_PORT_80_TCP_PORT": "80",
    "HOSTLER_PORT_80_TCP_ADDR": "10.0.0.7",
}


def test_variable_that_is_no_option_is_one_warning_of_the_arbiter(serve: Serve) -> None:
    env = {**LINKS, "HOSTLER_WORKER": "3", "HOSTLER_THREADS": "2"}
    server = serve(serve.source(HELLO), "--workers", "2", env=env)
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    assert "(2 workers, 2 threads)" in server.log
    assert ctl(server, "reload").returncode == 0
    [warning] = [line for line in server.log.splitlines() if "[WARNING]" in line]
    said = 'the environment variable HOSTLER_WORKER is no option and is ignored - did you mean "HOSTLER_WORKERS"?'
    assert warning.endswith(f"[{server.pid}] [WARNING] {said}")


@pytest.mark.parametrize(("value", "warnings"), [("8000", 1), ("tcp://10.0.0.7:80", 0), ("", 0)])
def test_port_that_is_a_number_gets_a_warning_that_names_bind(serve: Serve, value: str, warnings: int) -> None:
    server = serve(serve.source(HELLO), env={"HOSTLER_PORT": value})
    assert server.log.count("[WARNING]") == server.log.count("set HOSTLER_BIND=:8000") == warnings


def test_option_with_a_value_that_is_not_possible_stops_the_start(serve: Serve) -> None:
    server = serve(serve.source(HELLO), env={"HOSTLER_THREADS": "many", "HOSTLER_COLOUR": "red"}, ready=False)
    assert server.wait() == 2
    [line] = server.log.splitlines()
    assert line.startswith('hostler: HOSTLER_THREADS: "many" is not')
