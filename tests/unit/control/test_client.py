"""Which server is meant."""

from __future__ import annotations

import pytest

from hostler.control import client
from hostler.errors import HostlerError


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Servers that live, by process id; the test fills it. A dead one has left its socket."""
    living: dict[int, str] = {}
    monkeypatch.setattr(client, "candidates", lambda: living | {999_999: "/dead.sock"})
    monkeypatch.setattr(client, "_lives", lambda path: path != "/dead.sock")
    return living


def test_a_path_is_taken_as_it_is(alive: dict[int, str]) -> None:
    assert client.find("/x.sock", None) == "/x.sock"


def test_the_only_living_one_is_meant(alive: dict[int, str]) -> None:
    alive[4711] = "/one.sock"
    assert client.find(None, None) == "/one.sock"


def test_with_several_one_has_to_say_which(alive: dict[int, str]) -> None:
    alive.update({4711: "/one.sock", 4712: "/two.sock"})
    with pytest.raises(HostlerError, match=r"several servers run here: say which by --pid: 4711 .*; 4712 "):
        client.find(None, None)
    assert client.find(None, 4712) == "/two.sock"


def test_none_is_there(alive: dict[int, str]) -> None:
    with pytest.raises(HostlerError, match="no running server was found; say --control PATH"):
        client.find(None, None)
    with pytest.raises(HostlerError, match="no server with process id 1 has a control socket here"):
        client.find(None, 1)
