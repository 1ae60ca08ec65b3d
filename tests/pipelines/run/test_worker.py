"""The program that runs ranks, apart from ranks."""

from __future__ import annotations

import subprocess
from pathlib import Path

from robotrove.executors.worker import Worker, command


def test_one_that_came_up_before_there_was_a_run_says_so_when_it_has_a_rank(tmp_path: Path) -> None:
    log = tmp_path / "run" / "logs" / "workers.log"
    worker = Worker(command(tmp_path / "run", str(log), "aggregator", "no_such_block"), 1, log=subprocess.DEVNULL)
    try:
        worker.give("1-aggregator.plan", 0)
        answer = worker.answer()
    finally:
        worker.end()
    assert answer is not None
    assert "is not a run directory" in answer["error"]
    assert log.read_bytes() == b""
