"""local: worker processes on this machine; one may fail or be killed, the others go on."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..core.errors import UsageError
from .base import Executor, Stage

POLL_S = 0.5


class LocalExecutor(Executor):
    """Runs ranks in worker processes that are fed one rank after the other.

    A worker is a program of its own, not a fork: it needs no guard in the caller's script, and a
    crash of one leaves the others alone. Workers notice the death of this process by the end of
    their standard input.

    Args:
        workers: Worker processes; one per CPU by default.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError("workers", str(workers), "1 or more")
        self.workers = workers or len(os.sched_getaffinity(0))
        self._idle: list[_Worker] = []

    def prepare(self, stages: Sequence[Stage]) -> None:
        """Start all workers that will be of use: while the first plans alone, the others come up."""
        count = min(self.workers, max(len(stage.missing()) for stage in stages))
        self._idle += [_Worker(stages[0], _share(count)) for _ in range(count)]

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        """Run the missing ranks; see the base class."""
        waiting = deque(stage.missing())
        failures: dict[int, str] = {}
        active: dict[int, _Worker] = {}
        count = min(self.workers, len(waiting))
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or active:
                    while waiting and len(active) < count:
                        worker = self._next_idle() or _Worker(stage, _share(count))
                        active[worker.descriptor] = worker
                        selector.register(worker.descriptor, selectors.EVENT_READ)
                        worker.give(stage, waiting.popleft())
                    for key, _ in selector.select(POLL_S):
                        worker = active.pop(key.fd)
                        selector.unregister(key.fd)
                        answer = worker.answer()
                        if answer is None or answer["error"]:
                            failures[worker.rank] = answer["error"] if answer else worker.epitaph()
                            if stage.stop_on_failure:
                                waiting.clear()
                        if answer is None:
                            worker.end()
                        else:
                            self._idle.append(worker)
                    on_poll()
            finally:
                for worker in active.values():
                    worker.kill()
        if failures:
            raise stage.failed(failures)

    def _next_idle(self) -> _Worker | None:
        while self._idle:
            if (worker := self._idle.pop()).is_alive:
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
    return max(1, len(os.sched_getaffinity(0)) // max(1, workers))


class _Worker:
    """One worker process and the rank it is working on."""

    def __init__(self, stage: Stage, cpus: int) -> None:
        self.rank = -1
        stage.logs.mkdir(parents=True, exist_ok=True)
        with open(stage.logs.parent / "workers.log", "ab") as log:
            self._process = subprocess.Popen(
                stage.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"ROBOTROVE_CPUS": str(cpus)},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self.descriptor = self._out.fileno()

    @property
    def is_alive(self) -> bool:
        """True as long as the process runs."""
        return self._process.poll() is None

    def give(self, stage: Stage, rank: int) -> None:
        """Hand out a rank; a worker that died meanwhile is noticed by its missing answer."""
        self.rank = rank
        with suppress(BrokenPipeError):
            self._in.write(f"{stage.name} {rank}\n".encode())
            self._in.flush()

    def answer(self) -> dict[str, str] | None:
        """Return the outcome of the rank, None if the worker died."""
        line = self._out.readline()
        if not line.endswith(b"\n"):
            return None
        answer: dict[str, str] = json.loads(line)
        return answer

    def epitaph(self) -> str:
        """Say how the worker died."""
        code = self._process.wait()
        return f"its worker was killed by signal {-code}" if code < 0 else f"its worker ended with exit code {code}"

    def dismiss(self) -> None:
        """Let an idle worker go."""
        with suppress(BrokenPipeError):
            self._in.close()

    def end(self) -> None:
        """Let an idle worker go, and wait until it is gone."""
        self.dismiss()
        self._process.wait()
        self._out.close()

    def kill(self) -> None:
        """End a worker at once; what it was writing is worthless and stays aside."""
        self._process.kill()
        self.end()
