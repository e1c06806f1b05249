"""daphne's command line in hostler's options."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from hostler.cli import main
from hostler.cli.daphne import endpoint, translate
from hostler.config import load
from hostler.config.address import TcpAddress, UnixAddress
from hostler.config.settings import Config
from hostler.errors import ConfigError

APP = "api.asgi:application"


def values(line: str) -> Config:
    given = translate([*shlex.split(line), APP])
    return Config([*given.defaults, *given.assignments])


def test_the_command_of_the_many() -> None:
    config = values("-b 127.0.0.1 -p 9001 --proxy-headers")
    assert config.bind == (TcpAddress("127.0.0.1", 9001),)
    assert (str(config.app[0]), config.interface, config.proxy_headers) == (APP, "asgi", "on")


def test_daphnes_defaults() -> None:
    config = values("")
    assert config.bind == (TcpAddress("127.0.0.1", 8000),)
    assert (config.proxy_headers, config.server_header, config.ws_max_size) == ("off", "daphne", 1 << 20)
    assert [int(config.ws_lifetime), int(config.ws_handshake_timeout), int(config.request_timeout)] == [86400, 5, 0]
    assert config.access_log == "-"
    assert values("-v 0").access_log is None
    assert values("-v 0 --access-log -").access_log == "-"


def test_what_was_typed_wins_over_hostlers_sources_and_they_over_daphnes_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hostler.toml").write_text('ws_lifetime = "1h"\nws_ping_timeout = "7s"\nbind = ":1"')
    given = translate(["--ping-timeout", "9", "-b", "::1", APP])
    config = load(given.assignments, {"HOSTLER_WS_MAX_SIZE": "2M", "HOSTLER_BIND": ":2"}, given.defaults)
    assert (int(config.ws_lifetime), int(config.ws_ping_timeout), config.ws_max_size) == (3600, 9, 2 << 20)
    assert (config.bind, config.server_header) == ((TcpAddress("::1", 8000),), "daphne")
    given = translate([APP])
    assert [str(address) for address in load(given.assignments, {}, given.defaults).bind] == ["0.0.0.0:1"]


@pytest.mark.parametrize(
    ("line", "bind"),
    [
        ("-p9001", "127.0.0.1:9001"),
        ("-b ::1", "[::1]:8000"),
        ("-u /run/app.sock", "unix:/run/app.sock"),
        ("--fd 3", "fd://3"),
        ("-u /run/app.sock -p 9001", "127.0.0.1:9001 unix:/run/app.sock"),
        ("-e tcp:8000:interface=0.0.0.0", "0.0.0.0:8000"),
        ("-e tcp:port=8000", "0.0.0.0:8000"),
        ("-e tcp:8000 -e unix:/run/app.sock", "0.0.0.0:8000 unix:/run/app.sock"),
    ],
)
def test_where_it_listens(line: str, bind: str) -> None:
    assert " ".join(map(str, values(line).bind)) == bind


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (r"tcp:8000:interface=\:\:1", "[::1]:8000"),
        ("tcp6:port=80:interface=", "[::]:80"),
        ("unix:/run/a:mode=660", "unix:/run/a"),
        ("unix:address=/run/a", "unix:/run/a"),
        ("fd:fileno=5", "fd://5"),
        ("systemd:domain=INET:index=1", "fd://4"),
    ],
)
def test_endpoints(text: str, address: str) -> None:
    assert endpoint(text) == address


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("-t 30", "request_timeout", 30),
        ("--http-timeout=30", "request_timeout", 30),
        ("--websocket_timeout -1", "ws_lifetime", 0),
        ("--websocket_timeout 60", "ws_lifetime", 60),
        ("--websocket_connect_timeout 7", "ws_handshake_timeout", 7),
        ("--ping-interval 3", "ws_ping_interval", 3),
        ("--ping-timeout 4", "ws_ping_timeout", 4),
        ("--ping-timeout 0", "ws_ping_timeout", 86400),
        ("--ping-interval 0", "ws_ping_interval", 0),
        ("--websocket_connect_timeout -1", "ws_handshake_timeout", 0),
        ("--websocket-max-message-size 2000000", "ws_max_size", 2_000_000),
        ("--websocket-max-frame-size 2000000", "ws_max_frame_size", 2_000_000),
        ("--websocket-max-message-size 0", "ws_max_size", 1 << 30),
        ("--websocket-max-frame-size 0", "ws_max_frame_size", 1 << 30),
        ("--http 30", "request_timeout", 30),
        ("--root-path /api", "root_path", "/api"),
        ("--root-path ''", "root_path", None),
        ("-v 0 --", "log_level", 30),
        ("--access-log -", "access_log", "-"),
        ("-v 3", "log_level", 10),
        ("-v 0", "log_level", 30),
        ("-s shop", "server_header", "shop"),
        ("--no-server-name", "server_header", None),
    ],
)
def test_options(line: str, option: str, value: object) -> None:
    assert values(line).values[option] == value


@pytest.mark.parametrize("line", ["--application-close-timeout 5", "--log-fmt %(message)s"])
def test_what_has_no_meaning_is_accepted_with_a_word(line: str) -> None:
    (warning,) = translate([*line.split(), APP]).warnings
    assert warning.startswith(f"{line.split()[0]} is accepted and does nothing here: ")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("-e ssl:443:privateKey=k.pem:certKey=c.pem x", "TLS is a proxy's business"),
        ("-e haproxy:tcp:8000 x", "HOSTLER_PROXY_PROTOCOL=on"),
        ("-e udp:53 x", 'unknown kind of endpoint "udp"; there are tcp, unix, fd, systemd'),
        ("-e tcp:x a", "a port is missing"),
        ("--proxy-header a", 'daphne has no option "--proxy-header" - did you mean "--proxy-headers"?'),
        ("--proxy-headers-host X-Real-IP a", "have the proxy set one of them"),
        ("-p", "-p needs a value"),
        ("-b --proxy-headers a", "-b needs a value"),
        ("--ping 3 a", 'daphne has no option "--ping"'),
        ("-- a b", 'unexpected "b"'),
        ("--proxy-headers=yes a", "--proxy-headers takes no value"),
        ("a b", 'unexpected "b"'),
        ("-v 9 a", "is not a verbosity from 0 to 3"),
        ("", "the application is missing"),
    ],
)
def test_complaints(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        translate(line.split())
    assert complaint in error.value.message


def test_bad_values_name_daphnes_flag() -> None:
    with pytest.raises(ConfigError, match=r"^--websocket-max-message-size: "):
        values("--websocket-max-message-size much")


def test_the_mode_of_a_socket() -> None:
    assert values("-e unix:/run/a:mode=600").unix_mode == 0o600


@pytest.mark.parametrize(("bind", "told"), [("127.0.0.1", False), ("0.0.0.0", True), ("::1", False)])
def test_who_is_believed_is_said_where_it_matters(bind: str, told: bool) -> None:
    warnings = translate(["-b", bind, "--proxy-headers", APP]).warnings
    assert [text for text in warnings if "FORWARDED_ALLOW_IPS" in text] == warnings
    assert bool(warnings) is told


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["daphne", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--websocket_timeout" in shown
    assert "usage: hostler daphne [options] APPLICATION" in shown


def test_it_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    configs: list[Config] = []
    monkeypatch.chdir(tmp_path)

    def run(config: Config, **rest: object) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr("hostler.launcher.run", run)
    assert main(["daphne", "-u", "app.sock", APP]) == 0
    assert configs[0].bind == (UnixAddress("app.sock"),)


def test_unix_sockets_have_twisteds_permissions_and_a_warning() -> None:
    given = translate(shlex.split("-u /tmp/shop.sock shop.asgi:application"))
    found = load(given.assignments, {}, given.defaults)
    assert found.unix_mode == 0o666
    assert "every user of this machine can connect to unix:/tmp/shop.sock unix_mode=666" in found.warnings[0]
