"""Worker: handle of a worker process, in the process that started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO


class Worker:
    """One worker process and the rank it is working on.

    A program, not a fork: it needs no guard in the caller's script, and a crash of one leaves all others alone. It
    notices the death of this process by the end of its standard input.

    Args:
        command: The program; see `Stage.command`.
        cpus: CPUs that its ranks may use.
        log: Where its standard error goes; to that of this process by default.
        is_apart: Give it a process group of its own, so that signals for this process's group do not reach it.
    """

    def __init__(
        self, command: Sequence[str], cpus: int, *, log: IO[bytes] | int | None = None, is_apart: bool = False
    ) -> None:
        self.rank = -1
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"ROBOTROVE_CPUS": str(cpus)},
            process_group=0 if is_apart else None,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self.descriptor = self._out.fileno()

    @property
    def pid(self) -> int:
        """Its process, which names its journal."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """True as long as the process runs."""
        return self._process.poll() is None

    def give(self, stage: str, rank: int) -> None:
        """Hand out a rank; a worker that died meanwhile is noticed by its missing answer."""
        self.rank = rank
        with suppress(BrokenPipeError):
            self._in.write(f"{stage} {rank}\n".encode())
            self._in.flush()

    def answer(self) -> dict[str, str] | None:
        """Return the outcome of the rank, None if the worker died."""
        line = self._out.readline()
        if not line.endswith(b"\n"):
            return None
        answer: dict[str, str] = json.loads(line)
        return answer

    def exit_code(self) -> int:
        """Wait for the end of a worker that died; return its exit code, negative for a signal."""
        return self._process.wait()

    def epitaph(self) -> str:
        """Say how the worker died."""
        code = self.exit_code()
        return f"its worker was killed by signal {-code}" if code < 0 else f"its worker ended with exit code {code}"

    def dismiss(self) -> None:
        """Let go of a worker at once: what it did is committed, what it was writing is worthless and stays aside."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._in.close()

    def end(self) -> None:
        """Let go of a worker, and wait until it is gone."""
        self.dismiss()
        self._process.wait()
        self._out.close()

    def stop(self) -> None:
        """End a worker at once, even from a signal handler: what is being read from it is not touched."""
        self._process.kill()
        self._process.wait()


def command(run_dir: Path, *early: str) -> list[str]:
    """Return the program that runs ranks of a run; `early` is LOG BLOCK… where there is no run yet."""
    return [sys.executable, "-P", "-m", "robotrove.pipelines.run.worker", str(run_dir), *early]
