"""Machine: CPUs, streams and place of this process, on every system and under every daemon."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path


def usable_cpus() -> int:
    """Return how many CPUs this process may use; where the system does not say it, all that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def place() -> dict[str, str]:
    """Return what tells machines, and containers on one, apart where they share a host name; "" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "namespace": os.readlink("/proc/self/ns/pid")}
    except OSError:
        return {"boot": "", "namespace": ""}


def open_standard_streams() -> None:
    """Lead standard streams that are closed nowhere.

    Else the next file that is opened takes the number of one, and a library that prints there writes into a dataset.
    `sys.stdin` stays None: nobody waits for input that cannot come.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
