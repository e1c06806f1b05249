"""Every server's command is whole: the app, the port, the log where it can have one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.adapters import PEERS, Peer, Place, Plan, UnknownPeer, choose

PLACE = Place(Path("/venv/bin"), Path("/apps"), Path("/build"), ("/venv/bin/hostler",))
PLAN = Plan("hello:app", 4711, raw="post 65536")


def by_name(peer: Peer) -> str:
    return peer.name


@pytest.mark.parametrize("peer", PEERS, ids=by_name)
def test_a_command_names_the_port(peer: Peer) -> None:
    assert "4711" in " ".join(peer.command(PLACE, PLAN))


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.log == "file"], ids=by_name)
def test_the_log_is_written_only_when_asked(peer: Peer) -> None:
    assert "/tmp/x.log" in peer.command(PLACE, PLAN._replace(log=Path("/tmp/x.log")))
    assert not any("log" in word and "disable" not in word for word in peer.command(PLACE, PLAN))


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.workers], ids=by_name)
def test_the_number_of_workers_reaches_the_command(peer: Peer) -> None:
    assert "3" in peer.command(PLACE, PLAN._replace(workers=3))


def test_raw_takes_its_mode_in_words() -> None:
    assert PEERS[0].command(PLACE, PLAN) == ["/build/epoll", "4711", "post", "65536"]


def test_hostler_is_measured_as_given() -> None:
    place = PLACE._replace(hostler=("python", "-m", "hostler"))
    command = choose(["hostler-1"])[0].command(place, PLAN)
    assert command[:5] == ["python", "-m", "hostler", "serve", "hello:app"]
    assert command[-2:] == ["--threads", "1"]


def test_names_are_unique() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)


def test_choosing() -> None:
    assert choose([]) == list(PEERS)
    assert [peer.name for peer in choose(["raw", "hostler"])] == ["raw", "hostler"]
    assert [peer.name for peer in choose(["granian-[md]*"])] == ["granian-mt", "granian-defaults"]


def test_an_unknown_server_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownPeer, match=r"no server 'meinheld'; there are: raw, hostler, .*daphne"):
        choose(["raw", "meinheld"])
