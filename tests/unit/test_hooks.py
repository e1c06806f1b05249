"""What hooks get: attributes that files for gunicorn read."""

from __future__ import annotations

import pytest

from hostler.hooks import Log, Settings, Worker
from hostler.logs import Logs


@pytest.fixture
def worker() -> Worker:
    return Worker(1, Log(Logs()), Settings({"timeout": 30, "worker_class_str": "sync"}))


def test_worker_has_what_files_for_older_gunicorns_read(worker: Worker) -> None:
    assert (worker.nr, worker.nr_conns, worker.futures, worker.sockets) == (0, 0, [], [])
    worker.notify()
    worker.tmp.notify()
    assert 0 < worker.tmp.last_update() <= worker.tmp.last_update()
    assert (worker.alive, worker.aborted, worker.booted, worker.pid, str(worker)) == (
        True, False, False, "[booting]", "<Worker [booting]>",
    )  # fmt: skip


def test_worker_timeout_is_half_of_the_setting_as_gunicorns(worker: Worker) -> None:
    assert worker.timeout == 15
    assert worker.cfg.timeout == 30
    assert Worker(1, Log(Logs()), Settings({})).timeout is None


def test_setting_that_is_not_there_is_an_attribute_error_that_names_it(worker: Worker) -> None:
    assert worker.cfg.worker_class_str == "sync"
    with pytest.raises(AttributeError, match="there is no setting 'gone'"):
        _ = worker.cfg.gone


def test_application_is_what_the_worker_was_given(worker: Worker) -> None:
    worker.wsgi = len
    assert worker.app.wsgi() is worker.app.callable is worker.wsgi is len
