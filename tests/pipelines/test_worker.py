"""The program that runs ranks, apart from ranks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from robotrove.executors.worker import Worker
from robotrove.pipelines.worker import command

PATHS = """
import sysconfig
from robotrove.pipelines import worker
asked = [(name, scheme) for name in sysconfig.get_path_names() for scheme in sysconfig.get_scheme_names()]
def answers():
    found = [sysconfig.get_path(*pair) for pair in asked]
    return found, sysconfig.get_path("purelib"), sysconfig.get_path("purelib", vars={"base": "/elsewhere"})
before = answers()
worker._remember_paths()
assert answers() == answers() == before
"""


def test_the_paths_that_are_remembered_are_those_of_sysconfig() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", PATHS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
