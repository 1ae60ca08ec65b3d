"""Running a side of a comparison in a process of its own: seconds and peak memory of the largest process.

What imports this must stay small itself: Linux counts a process's memory against what it starts.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """Wall seconds, CPU seconds of all processes, and MB of the largest process of the side."""

    seconds: float
    cpu_s: float
    peak_mb: float


def make_source(path: Path, *options: object) -> str:
    """Write an HDF5 file with `source.py` and return what its pictures are."""
    command = [sys.executable, str(Path(__file__).with_name("source.py")), str(path), *map(str, options)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def measure(arguments: list[str]) -> Measured:
    """Run `python ARGUMENTS` and measure it, children included; its output is passed on if it fails."""
    reader, writer = os.pipe()
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        # A process between, so that its getrusage(RUSAGE_CHILDREN) is about this side alone.
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.write(writer, f"{used.ru_maxrss} {used.ru_utime + used.ru_stime}".encode())
        os._exit(done.returncode)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - started
    os.close(writer)
    told = os.read(reader, 64).split()
    os.close(reader)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return Measured(seconds, float(told[1]), int(told[0]) / 1024)
