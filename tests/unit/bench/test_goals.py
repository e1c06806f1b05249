"""Goals compare hostler's value with the best rival's."""

from __future__ import annotations

import pytest

from bench.adapters import PEERS
from bench.goals import C_SERVERS, GRANIAN, GTHREAD, OTHERS, POOLS, UWSGI, Goal, against_best, goals
from bench.results import Report, Result, Row
from bench.scenarios import SCENARIOS


def report(scenario: str, sample: str, **values: float) -> Report:
    return Report({}, [Result(scenario, [Row(peer, "", "", {sample: [value]}) for peer, value in values.items()])])


def test_the_best_rival_is_the_one_that_counts() -> None:
    measured = report("hello", "one.cpu", hostler=6.0, bjoern=8.0, fastpysgi=7.5)
    assert against_best(measured, "hello", "one.cpu", C_SERVERS) == 0.8


def test_without_hostler_or_rivals_nothing_is_said() -> None:
    assert against_best(report("hello", "one.cpu", bjoern=8.0), "hello", "one.cpu", C_SERVERS) is None
    assert against_best(report("hello", "one.cpu", hostler=8.0), "hello", "one.cpu", C_SERVERS) is None


def test_a_goal_is_met_up_to_its_limit() -> None:
    assert Goal("", "", 1.0, 1.0).met is True
    assert Goal("", "", 1.0, 1.01).met is False
    assert Goal("", "", 1.0, None).met is None
    assert Goal("", "reported only", 0, 1.9).met is None


def test_idle_connections_are_judged_in_kilobytes() -> None:
    found = {goal.text: goal for goal in goals(report("idle", "one.pss_each", hostler=3072.0))}
    assert found["memory of an idle connection"].found == 3.0
    assert found["memory of an idle connection"].met is False


def test_only_goals_of_measured_scenarios_are_listed() -> None:
    assert {goal.scenario for goal in goals(report("hello", "one.cpu", bjoern=8.0))} == {"hello"}
    assert goals(Report({})) == []


def test_every_goal_belongs_to_a_scenario() -> None:
    everything = Report({}, [Result(scenario.name) for scenario in SCENARIOS])
    listed = goals(everything)
    assert len(listed) == 45
    assert all(goal.found is None for goal in listed)


def test_throughput_is_compared_with_the_best_of_the_others() -> None:
    rows = {"hostler": 1900.0, "gunicorn-gthread-200": 1700.0, "cheroot-200": 1805.0}
    result = Result("sleep100", [Row(name, "1", "", {"one.rate": [rate]}) for name, rate in rows.items()])
    found = {goal.text: goal.found for goal in goals(Report({}, [result]))}
    assert found["sleeping: throughput, the best of the others ÷ ours"] == 0.95
    assert found["sleeping 100 ms: the ideal 2,000/s ÷ throughput"] == pytest.approx(2000 / 1900)


def test_threads_and_memory_after_a_burst_are_compared_with_before() -> None:
    samples = {"pss_before": 20.0, "pss_after": 25.0, "threads_before": 3.0, "threads_after": 4.0}
    row = Row("hostler", "1", "", {f"one.{name}": [value] for name, value in samples.items()})
    found = [(goal.found, goal.met) for goal in goals(Report({}, [Result("burst", [row])]))]
    assert found == [(1.25, False), (pytest.approx(4 / 3), False)]


def test_the_best_number_of_gunicorns_threads_counts_beside_burners() -> None:
    measured = report("beside-burners", "one.p99", **{"hostler": 30.0, "gunicorn-gthread-2": 90.0, "cheroot-8": 1.0})
    measured.results[0].rows.append(Row("gunicorn-gthread-8", "", "", {"one.p99": [60.0]}))
    assert [goal.found for goal in goals(measured)] == [0.5]


def test_rivals_are_servers_that_exist() -> None:
    names = {peer.name for peer in PEERS}
    assert {*C_SERVERS, *GRANIAN, *UWSGI, *GTHREAD, *OTHERS, *POOLS, "gunicorn-sync", "raw", "hostler"} <= names
    assert "raw" not in OTHERS
    assert not any(name.startswith("hostler") for name in OTHERS)
