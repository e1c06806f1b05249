"""The table of scenarios is sound, and chooses who takes part."""

from __future__ import annotations

import pytest

from bench.adapters import PEERS
from bench.cli import main
from bench.harness import last_words, share
from bench.report import TABLES
from bench.scenarios import SCENARIOS, Scenario, UnknownScenario, choose

ALL = {scenario.name: scenario for scenario in SCENARIOS}


def takes(name: str, variants: bool = False) -> set[str]:
    return {peer.name for peer in PEERS if ALL[name].takes(peer, variants)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_is_measured_by_someone_and_has_a_table(scenario: Scenario) -> None:
    assert {"hostler", "hostler-asgi"} & takes(scenario.name)
    assert len(takes(scenario.name)) > 1 or scenario.name == "burst"
    assert scenario.table in TABLES


def test_hello_takes_every_variant_the_others_only_the_best() -> None:
    assert takes("hello") == {peer.name for peer in PEERS if not peer.pool and not peer.asgi}
    assert "granian-mt" not in takes("flask")
    assert "granian-mt" in takes("flask", variants=True)


def test_raw_takes_part_where_it_has_a_mode() -> None:
    assert {name for name in ALL if "raw" in takes(name)} == {
        "hello", "post64k", "big1m", "file", "browser", "close", "idle", "asgi-hello",
    }  # fmt: skip


def test_only_servers_that_log_are_asked_to() -> None:
    assert "hostler" in takes("log")
    assert not {"bjoern", "fastpysgi", "raw"} & takes("log")


def test_pools_are_for_apps_that_wait() -> None:
    pools = {peer.name for peer in PEERS if peer.pool}
    assert {name for name in ALL if takes(name) & pools} == {
        "sleep100", "beside-sleepers", "beside-burners", "django-wait", "django-wait-postgres",
    }  # fmt: skip
    assert {"gunicorn-gthread-200", "gunicorn-gevent-pool", "granian-200", "cheroot-200"} <= takes("sleep100")


def test_asgi_servers_run_asgi_apps_alone() -> None:
    asgi = {peer.name for peer in PEERS if peer.asgi}
    for scenario in SCENARIOS:
        found = takes(scenario.name, variants=True) - {"raw"}
        assert found <= asgi or not found & asgi, scenario.name
    assert {"uvicorn-asgi-wsproto", "daphne-asgi"} <= takes("ws-echo")


def test_choosing_keeps_the_tables_order() -> None:
    assert [scenario.name for scenario in choose(["file", "hello"])] == ["hello", "file"]
    assert choose([]) == list(SCENARIOS)
    with pytest.raises(UnknownScenario, match="no scenario 'helo'; there are: hello, flask"):
        choose(["helo"])


@pytest.mark.parametrize(
    ("cores", "wanted", "server", "load"),
    [
        ((0, 1), 1, (0,), (1,)),
        ((0, 1), 2, (0, 1), (0, 1)),
        ((0, 1, 2, 3), 2, (0, 1), (3,)),
        ((5,), 1, (5,), (5,)),
    ],
)
def test_cores_are_shared_out(
    cores: tuple[int, ...], wanted: int, server: tuple[int, ...], load: tuple[int, ...]
) -> None:
    assert share(cores, wanted) == (server, load)


def test_the_reason_of_a_failed_start_stands_first() -> None:
    assert (
        last_words("Traceback:\n  File x\nImportError: y\n") == "ImportError: y\nTraceback:\n  File x\nImportError: y"
    )
    assert last_words("\n") == "it printed nothing"


def test_the_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {*ALL, *(peer.name for peer in PEERS)} <= set(printed)


@pytest.mark.parametrize("arguments", [["helo"], ["--peers", "nobody", "hello"]])
def test_a_wrong_name_stops_before_anything_is_installed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("bench: no ")
