"""Job on the cluster: runs its ranks one after the other, each in a worker."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from submitit.helpers import DelayedSubmission

from ...core.commit import exists_now
from ...core.errors import RobotroveError
from ...manifests.events import decided
from ..stage import RankMarks
from ..worker import Worker
from .submission import Order

# Time limits in a row without an episode that was finished, after which a job is not queued again.
MAX_IDLE_LIMITS = 2
NEWS_S = 3.0


class RankJob:
    """Runs ranks; submitit pickles it, so that it holds plain values only.

    At the time limit, or when the cluster wants its node for somebody else, submitit calls `checkpoint`
    and queues the job again: it goes on at the episode that it was in.

    Args:
        orders: Stages and ranks, in the order in which to run them.
        command: Program that runs ranks; see `Stage.command`. The interpreter is this job's own.
        logs: Folder of the logging folders of all stages.
        events: Folder of the journals of all processes.
        cpus: CPUs that a rank may use.
        limit_s: Seconds from the start after which a signal means the time limit.
        stop_on_failure: Start no further rank once one has failed, in this job or another.
    """

    def __init__(
        self,
        orders: Sequence[Order],
        *,
        command: Sequence[str],
        logs: str,
        events: str,
        cpus: int,
        limit_s: float,
        stop_on_failure: bool,
    ) -> None:
        self._orders = list(orders)
        self._command = list(command)
        self._logs = logs
        self._events = events
        self._cpus = cpus
        self._limit_s = limit_s
        self._stop_on_failure = stop_on_failure
        self._idle_limits = 0
        self._started = math.inf  # a node may be taken away before the job has begun there
        self._complete_before = 0
        self._pids: list[int] = []
        self._worker: Worker | None = None
        self._current: Order | None = None

    def __call__(self) -> None:
        """Run every rank that is not complete.

        Raises:
            RobotroveError: If one failed; the others of its stage were run, those of later stages were not.
        """
        self._started = time.monotonic()
        self._complete_before = sum(map(self._is_complete, self._orders))
        self._pids = []
        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":  # elsewhere the process is not this job's alone
            signal.signal(signal.SIGTERM, self._end)
        failures: dict[Order, str] = {}
        try:
            for order in self._orders:
                if failures and (self._stop_on_failure or order[0] not in {stage for stage, _ in failures}):
                    break
                if not self._is_complete(order) and (why := self._run(order)):
                    failures[order] = why
                    print(f"stage {order[0]}, rank {order[1]} failed: {why}", flush=True)
        finally:
            self._drop_worker()
        if failures:
            (stage, rank), why = next(iter(failures.items()))
            raise RobotroveError(f"stage {stage}, rank {rank}", f"{why} ({len(failures)} rank(s) of this job failed)")

    def _is_complete(self, order: Order) -> bool:
        return exists_now(self._folder(order) / "completions" / f"{order[1]:05d}")

    def _folder(self, order: Order) -> Path:
        return Path(self._logs) / order[0]

    def _run(self, order: Order) -> str:
        """Run a rank in a worker; return why it failed, or nothing."""
        marks = RankMarks(self._folder(order))
        if self._stop_on_failure and (others := marks.failures()):
            return f"was not started, because rank {min(others)} failed (on_error: stop)"
        if self._worker is None:
            self._worker = Worker([sys.executable, *self._command[1:]], self._cpus, is_apart=True)
            self._pids.append(self._worker.pid)
        self._current = order
        self._worker.give(*order)
        answer = self._worker.answer()
        if answer is not None:
            if answer["error"]:  # some errors come before the rank could note them
                marks.fail(order[1], answer["error"])
            return answer["error"]
        if self._worker.exit_code() == -signal.SIGTERM:
            time.sleep(NEWS_S)  # Slurm tells all processes of a job to end, and this one may be the last to hear of it
        why = self._worker.epitaph()
        self._drop_worker()
        marks.fail(order[1], why)
        return why

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Wait for the end: a job that ends by itself now has failed, one that is killed is queued again if it should.

        Slurm tells the processes of a job to end when it is cancelled, preempted or over its time, and kills them then.
        """
        print("told to end (scancel, preemption, or the time limit): what is committed stays", flush=True)
        if self._worker is not None:
            self._worker.stop()
        while True:
            signal.pause()

    def checkpoint(self) -> DelayedSubmission | None:
        """Return what to run when the job starts again, or None if that leads nowhere; submitit calls it."""
        if self._worker is not None:
            self._worker.stop()
        is_over_time = time.monotonic() - self._started >= self._limit_s
        done = sum(map(self._is_complete, self._orders)) - self._complete_before
        done += sum(decided(Path(self._events), pid) for pid in self._pids)
        self._idle_limits = self._idle_limits + 1 if is_over_time and not done else 0
        if self._idle_limits < MAX_IDLE_LIMITS:
            return DelayedSubmission(self)
        why = f"reached its time limit {MAX_IDLE_LIMITS} times without finishing an episode; raise `time`"
        if self._current is not None:
            RankMarks(self._folder(self._current)).fail(self._current[1], why)
        return None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_worker": None, "_started": math.inf}
