"""Rates, percentiles and sums of two answers."""

from __future__ import annotations

import pytest

from hostler.cli.top.model import Order, Rates, view
from hostler.cli.top.readings import Reading
from hostler.stats.latency import bounds
from tests.unit.cli.top.answers import answer, request, worker


def test_rates_are_over_the_time_between_the_answers() -> None:
    before = answer(10.0, worker(0, 100, requests=50, statuses=[0, 40, 0, 10, 0], latency=[[20, 50]]))
    now = answer(12.0, worker(0, 100, requests=80, statuses=[0, 60, 0, 16, 4], latency=[[20, 70], [30, 10]]))
    found = view(now, before, {})
    rates = found.rows[0].rates
    assert (rates.requests, rates.client_errors, rates.server_errors) == (15.0, 3.0, 2.0)
    assert rates.p50 == pytest.approx(bounds(20)[0] + 512e-6 * 15 / 20), "of the last interval alone"
    assert rates.p99 is not None
    assert bounds(30)[0] < rates.p99 < bounds(30)[1]
    assert found.server.rates == rates


def test_before_there_are_two_answers_there_are_no_rates() -> None:
    found = view(answer(10.0, worker(0, 100, requests=50)), None, {})
    assert found.rows[0].rates == found.server.rates == Rates()


def test_where_nothing_has_ended_there_are_no_durations() -> None:
    same = worker(0, 100, requests=50, latency=[[20, 50]])
    assert view(answer(11.0, same), answer(10.0, same), {}).rows[0].rates == Rates(0.0, 0.0, 0.0)


def test_a_slots_new_process_begins_at_0() -> None:
    before = answer(10.0, worker(0, 100, requests=5000, latency=[[20, 5000]]))
    found = view(answer(12.0, worker(0, 101, requests=6, latency=[[30, 6]])), before, {})
    assert found.rows[0].rates.requests == 3.0
    assert found.rows[0].rates.p50 == pytest.approx(sum(bounds(30)) / 2)


def test_workers_that_have_gone_and_that_are_new() -> None:
    before = answer(10.0, worker(0, 100, requests=10), worker(1, 101, requests=1000))
    found = view(answer(11.0, worker(0, 100, requests=12), worker(5, 105, requests=4)), before, {})
    assert [(row.worker, row.rates.requests) for row in found.rows] == [(0, 2.0), (5, 4.0)]
    assert found.server.rates.requests == 6.0


def test_another_server_has_nothing_to_do_with_the_last_answer() -> None:
    before = answer(10.0, worker(0, 100, requests=1))
    for other in (answer(11.0, worker(0, 100, requests=9), pid=98), answer(2.0, worker(0, 100, requests=9))):
        assert view(other, before, {}).rows[0].rates == Rates()


def test_sums() -> None:
    workers = (
        worker(0, 100, in_flight=2, queued=1, connections=5),
        worker(1, 101, in_flight=3, queued=2, connections=6),
        worker(2, 0, state="backoff"),
    )
    readings = {99: Reading(0.25, 20), 100: Reading(0.5, None), 101: Reading(None, 70)}
    found = view(answer(10.0, *workers), None, readings)
    server = found.server
    assert (server.in_flight, server.queued, server.connections) == (5, 3, 11)
    assert (server.cpu, server.pss) == (0.75, 90), "the arbiter's too"
    assert [(row.cpu, row.pss) for row in found.rows] == [(0.5, None), (None, 70), (None, None)]
    unknown = view(answer(10.0, *workers), None, {}).server
    assert (unknown.cpu, unknown.pss) == (None, None)


def test_requests_come_oldest_first_and_keep_their_keys() -> None:
    one, other, twin = request(0, 1.0, "/new"), request(1, 5.0, "/old"), request(0, 1.0, "/twin")
    first = view(answer(10.0, worker(0, 100), running=[one, other, twin]), None, {}).running
    assert [each.path for each in first] == ["/old", "/new", "/twin"]
    assert len({each.key for each in first}) == 3
    later = [{**each, "age": each["age"] + 1.5} for each in (one, other, twin)]
    second = view(answer(11.5, worker(0, 100), running=later), None, {}).running
    assert [each.key for each in second] == [each.key for each in first]


def test_orders() -> None:
    before = answer(10.0, worker(0, 100), worker(1, 101), worker(2, 102))
    now = answer(
        11.0,
        worker(2, 102, age=9.0),
        worker(0, 100, requests=5, latency=[[20, 5]], in_flight=1),
        worker(1, 101, requests=2, latency=[[30, 2]], queued=2),
    )
    rows = view(now, before, {100: Reading(0.1, 50), 102: Reading(0.2, 40)}).rows
    assert {order: [row.worker for row in order.sort(rows)] for order in Order} == {
        Order.NUMBER: [0, 1, 2],
        Order.CPU: [2, 0, 1],
        Order.MEMORY: [0, 2, 1],
        Order.REQUESTS: [0, 1, 2],
        Order.LATENCY: [1, 0, 2],
        Order.RUNNING: [1, 0, 2],
        Order.AGE: [0, 1, 2],
    }
    assert [order.next for order in Order] == [*list(Order)[1:], Order.NUMBER]
