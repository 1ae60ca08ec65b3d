"""local: worker processes on this machine; if one fails or is killed, the others continue."""

from __future__ import annotations

import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..core.errors import UsageError
from ..core.machine import usable_cpus
from .executor import Executor
from .stage import WORKERS_LOG, RankMarks, Stage
from .worker import Worker

POLL_S = 0.5
_RANKS_PER_WORKER = 8  # the last ones end at about the same time, and hardly any time goes into opening logs


class LocalExecutor(Executor):
    """Runs ranks in worker processes on this machine.

    Args:
        workers: Worker processes; one per CPU by default.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError("workers", str(workers), "1 or more")
        self.workers = workers or usable_cpus()
        self._idle: deque[Worker] = deque()

    @property
    def useful_ranks(self) -> int:
        """See the base class."""
        return min(super().useful_ranks, _RANKS_PER_WORKER * self.workers)

    def start_early(self, command: Sequence[str]) -> None:
        """Start a worker before there are stages, so that it comes up while this process does."""
        self._idle.append(Worker(command, _share(self.workers), log=subprocess.DEVNULL))

    def prepare(self, stages: Sequence[Stage]) -> None:
        """Start all workers that will be of use: while the first plans alone, the others come up."""
        count = min(self.workers, max(len(stage.missing(fresh=True)) for stage in stages))
        self._idle += [_worker(stages[0], _share(count)) for _ in range(count - len(self._idle))]

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        """Run the missing ranks; see the base class."""
        waiting = deque(stage.missing(fresh=True))
        failures: dict[int, str] = {}
        active: dict[int, Worker] = {}
        count = min(self.workers, len(waiting))
        polled = time.monotonic()  # short ranks must not wait for what people are shown
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or active:
                    while waiting and len(active) < count:
                        worker = self._next_idle() or _worker(stage, _share(count))
                        active[worker.descriptor] = worker
                        selector.register(worker.descriptor, selectors.EVENT_READ)
                        worker.give(stage.name, waiting.popleft())
                    for key, _ in selector.select(POLL_S):
                        worker = active.pop(key.fd)
                        selector.unregister(key.fd)
                        answer = worker.answer()
                        if answer is None or answer["error"]:
                            failures[worker.rank] = answer["error"] if answer else _died(worker, stage)
                            if stage.stop_on_failure:
                                waiting.clear()
                        if answer is None:
                            worker.end()
                        else:
                            self._idle.appendleft(worker)  # it is up, which others may not be yet
                    if time.monotonic() - polled >= POLL_S:
                        on_poll()
                        polled = time.monotonic()
            finally:
                for worker in active.values():
                    worker.end()
        on_poll()
        if failures:
            raise stage.failed(failures)

    def _next_idle(self) -> Worker | None:
        while self._idle:
            if (worker := self._idle.popleft()).is_alive:
                return worker
            worker.end()  # killed while it had nothing to do, which is no rank's failure
        return None

    def close(self) -> None:
        """End the idle workers."""
        for worker in self._idle:
            worker.dismiss()
        while self._idle:
            self._idle.pop().end()


def _share(workers: int) -> int:
    """Return how many CPUs each of some workers may use."""
    return max(1, usable_cpus() // max(1, workers))


def _worker(stage: Stage, cpus: int) -> Worker:
    stage.logs.mkdir(parents=True, exist_ok=True)
    with open(stage.logs.parent / WORKERS_LOG, "ab") as log:
        return Worker(stage.command, cpus, log=log)


def _died(worker: Worker, stage: Stage) -> str:
    """Say how a worker died; its rank could not."""
    why = worker.epitaph()
    RankMarks(stage.logs).fail(worker.rank, why)
    return why
