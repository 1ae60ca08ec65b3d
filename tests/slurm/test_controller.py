"""controller.sbatch plans and submits on a node; datatrove's own tools read what the run leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robotrove.core.workspace import Workspace
from robotrove.tests.slurm.disturbed import EPISODES, Run
from robotrove.tests.slurm.jobs import slurm, submission, wait_for, wait_until_over
from robotrove.tests.support.places import ROOT

CONTROLLER = ROOT / "slurm" / "controller.sbatch"


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """robotrove is on the PATH, as where somebody works who has installed it."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def _sbatch(run: Run, folder: Path, *more: str) -> str:
    """Submit the controller from a folder, and return its job."""
    command = ["sbatch", "--parsable", str(CONTROLLER), str(run.pipeline), "--output", str(run.output), *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _ended(job: str) -> str:
    wait_for(lambda: not slurm("squeue", "--noheader", "--jobs", job), "the end of the controller")

    def known() -> str:
        said = slurm("sacct", "-nPX", "--format", "State,ExitCode", "--jobs", job).strip()
        return "" if said.startswith(("PENDING", "RUNNING", "COMPLETING")) else said  # the accounting lags

    return wait_for(known, "its end")


def _tool(*command: object) -> str:
    """Run one of datatrove's console scripts."""
    script = Path(sys.executable).with_name(str(command[0]))
    environment = os.environ | {"COLUMNS": "300"}  # else rich breaks lines
    done = subprocess.run(
        [script, *map(str, command[1:])], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_it_plans_and_submits_and_datatrove_s_tools_read_the_logs(run: Run, on_path: None, tmp_path: Path) -> None:
    job = _sbatch(run, tmp_path)
    assert _ended(job) == "COMPLETED|0:0", (tmp_path / f"robotrove-plan-{job}.out").read_text()
    said = (tmp_path / f"robotrove-plan-{job}.out").read_text()
    assert f"robotrove status {Workspace.for_output(run.output).run_dir} --watch" in said
    # Its jobs have what the pipeline says, nothing of what the controller was given.
    [(first, *_), *_] = submission(run.output).jobs_of("convert")
    shown = slurm("scontrol", "show", "job", "--oneliner", f"{first}_0")
    assert "CPUs/Task=4" in shown
    assert "TimeLimit=00:30:00" in shown
    assert "MinMemoryNode=2G" in shown
    wait_until_over(run.output)
    run.check()

    logs = Workspace.for_output(run.output).logs("")
    assert "Found 0/4 incomplete tasks" in _tool("failed_logs", logs / "convert")
    assert "convert: 4/4 (100%) completed tasks" in _tool("jobs_status", logs)
    _tool("merge_stats", logs / "convert" / "stats", "-o", tmp_path / "stats.json")
    [read, *_] = json.loads((tmp_path / "stats.json").read_text())
    assert read["stats"]["episodes"]["total"] == EPISODES


def test_what_is_wrong_is_told_in_its_log(run: Run, on_path: None, tmp_path: Path) -> None:
    job = _sbatch(run, tmp_path, "executor.partition=nowhere")
    assert _ended(job) == "FAILED|1:0"
    said = (tmp_path / f"robotrove-plan-{job}.out").read_text()
    assert "error: sbatch: invalid partition specified: nowhere" in said
