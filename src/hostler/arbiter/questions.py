"""What the control socket is asked, and who answers: a table of verbs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hostler.arbiter import events as ev
from hostler.arbiter.handle import WorkerState
from hostler.arbiter.inquiries import Inquiries
from hostler.arbiter.live import live
from hostler.arbiter.status import status
from hostler.control.server import Client, Question
from hostler.logs import LEVELS, counted, facts, printable
from hostler.proc.signals import STACKS

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["Questions"]


class Questions:
    """Answers on behalf of the arbiter; `inquiries` are those that workers must answer first."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self._control = arbiter.control
        self._started_ns = time.monotonic_ns()
        self.inquiries = Inquiries(arbiter.control.answer, arbiter.processes.take_stacks)
        self._verbs: dict[str, tuple[int, Callable[..., None]]] = {
            "status": (0, self._status),
            "top": (0, self._top),
            "config": (0, self._config),
            "reload": (0, self._reload),
            "upgrade": (0, self._upgrade),
            "stop": (0, self._stop),
            "scale": (1, self._scale),
            "recycle": (1, self._recycle),
            "log-level": (1, self._log_level),
        }

    def take(self, question: Question) -> None:
        """Answer, or see to it that a worker does. A question that fails is an answer too: the server goes on."""
        try:
            self._take(question)
        except Exception as error:
            import traceback  # only here: the arbiter keeps what it loads

            client, words = question
            said = printable(" ".join(words))
            text = f"question failed; please report this fault of hostler {facts(question=said)}"
            self._arbiter.logs.error(f"{text}\n{traceback.format_exc().rstrip()}")
            self._control.answer(client, f"{error!r} (please report it)", is_error=True)

    def _take(self, question: Question) -> None:
        client, (verb, *words) = question
        if verb in self._verbs and len(words) == self._verbs[verb][0]:
            self._verbs[verb][1](client, *words)
        elif verb == "stacks" and len(words) < 2:
            self._stacks(client, *words)
        else:
            said = printable(" ".join([verb, *words]))
            self._control.answer(client, f"unknown question {said!r}", is_error=True)

    def _status(self, client: Client) -> None:
        arbiter, now = self._arbiter, time.monotonic_ns()
        directory = arbiter.host.directory
        known = status(arbiter.fleet, arbiter.board, arbiter.plan, self._started_ns, now, directory)
        self._control.answer(client, known)

    def _top(self, client: Client) -> None:
        arbiter, now = self._arbiter, time.monotonic_ns()
        self._control.answer(client, live(arbiter.fleet, arbiter.board, arbiter.plan, self._started_ns, now))

    def _config(self, client: Client) -> None:
        self._control.answer(client, self._arbiter.plan.shown)

    def _reload(self, client: Client) -> None:
        self._control.wait(client)
        self._arbiter.reload("hostler reload", [client])

    def _upgrade(self, client: Client) -> None:
        self._control.wait(client)
        self._arbiter.upgrade.begin("hostler upgrade", [client])

    def _stop(self, client: Client) -> None:
        self._control.wait(client)  # our end is the answer
        self._arbiter.feed(ev.Stop("hostler ctl stop"))

    def _scale(self, client: Client, text: str) -> None:
        fleet = self._arbiter.fleet
        before, size = fleet.size, int(text) if text.isdecimal() else 0
        if size < 1 or size > fleet.most:
            problem = f"from 1 to {fleet.most} workers are possible without a restart"
            self._control.answer(client, problem, is_error=True)
            return
        if size != before:
            self._arbiter.feed(ev.Resize("hostler ctl scale", size - before))
        after = fleet.size
        self._control.answer(client, f"{counted(after, 'worker')}, {before} before\n", is_error=after != size)

    def _recycle(self, client: Client, wanted: str) -> None:
        """Have one worker replaced, as if it had reached a limit."""
        fleet = self._arbiter.fleet
        worker = next((each for each in fleet.workers if str(each.slot) == wanted), None)
        if worker is None or not fleet.is_ready(worker.pid):
            self._control.answer(client, f"worker {printable(wanted)} that is ready is not there", is_error=True)
            return
        if worker.is_worn or worker.state is not WorkerState.READY:
            self._control.answer(client, f"worker is being replaced already {worker}\n")
            return
        self._arbiter.feed(ev.Renew(worker.pid, "hostler ctl recycle"))
        self._control.answer(client, f"worker replaced; another one starts first {worker}\n")

    def _log_level(self, client: Client, word: str) -> None:
        level = LEVELS.get(word)
        if level is None:
            self._control.answer(client, f"there are the levels {', '.join(LEVELS)}", is_error=True)
            return
        self._arbiter.logs.level = level
        self._arbiter.board.log_level = level
        self._arbiter.feed(ev.Reopen())  # with the word that everybody looks at once
        self._control.answer(client, f"lines from {word} on are written\n")

    def _stacks(self, client: Client, wanted: str = "") -> None:
        arbiter = self._arbiter
        living = {slot: pid for pid, slot in arbiter.processes.slots.items() if arbiter.fleet.is_ready(pid)}
        if wanted:
            living = {slot: pid for slot, pid in living.items() if str(slot) == wanted}
        if not living:
            which = f"worker {printable(wanted)}" if wanted else "a worker"
            self._control.answer(client, f"{which} that is ready is not there", is_error=True)
            return
        self.inquiries.begin(client, {pid: f"worker {slot} (pid {pid})" for slot, pid in sorted(living.items())})
        for pid in living.values():
            os.kill(pid, STACKS)
