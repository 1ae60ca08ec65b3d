"""Encoders work at the priority that this process was given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def own_priority() -> Iterator[None]:
    """Take back the real-time priority that a library gives all threads of this process while the block runs.

    SVT-AV1 does so where it may, that is as root, as in most containers. Nothing else on the machine then runs: neither
    the heartbeat of another process nor the daemons of a cluster.
    """
    is_known = hasattr(os, "sched_getscheduler") and os.path.isdir("/proc/self/task")
    before = os.sched_getscheduler(0) if is_known else None
    try:
        yield
    finally:
        if before is not None and before != os.SCHED_FIFO:
            _take_back(before)


def _take_back(policy: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has just ended
            if os.sched_getscheduler(int(thread)) == os.SCHED_FIFO:
                os.sched_setscheduler(int(thread), policy, os.sched_param(0))
