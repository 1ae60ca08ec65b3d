"""`robotrove cancel` of a run on this machine; that of jobs is in tests/slurm."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from robotrove.core.workspace import Workspace
from robotrove.tests.slurm.gates import ENVIRONMENT, GATE, Gates
from robotrove.tests.slurm.jobs import wait_for
from robotrove.tests.support.pipelines.faults import command
from robotrove.tests.support.pipelines.runs import (
    assert_encoded_once,
    assert_no_leftovers,
    assert_same_dataset,
    run_cli,
    run_here,
    sample,
    start_cli,
    write_pipeline,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    return write_pipeline(folder, [sample(folder, "demos.hdf5", 4, 20)], steps=[GATE])


@pytest.fixture
def gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gates:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "gates"))
    return Gates(tmp_path / "gates")


def test_it_interrupts_the_command_and_the_run_goes_on_later(pipeline: Path, gates: Gates, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gates.close(2)
    run = start_cli(pipeline, out, "--workers", "1")
    [worker] = wait_for(lambda: gates.arrived(2), "the worker at its gate")
    done = command("cancel", Workspace.for_output(out).run_dir)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"interrupted process {run.pid}\n", "")
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "rerun the same command to resume" in said
    assert not psutil.pid_exists(worker)
    assert json.loads(command("status", Workspace.for_output(out).run_dir, "--json").stdout)["state"] == "stopped"

    gates.open(2)
    done = run_cli(pipeline, out)
    assert done.returncode == 0, done.stderr
    run_here(pipeline, tmp_path / "undisturbed")
    assert_same_dataset(out, tmp_path / "undisturbed")
    assert_encoded_once(out)
    assert_no_leftovers(out)


def test_where_nothing_works(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    done = command("cancel", tmp_path / "out.run")
    assert (done.returncode, done.stdout) == (0, "nothing works on this run\n")


def test_a_command_on_another_machine_is_named(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    holder = {"host": "elsewhere", "pid": 7, "started": "1", "nonce": "x"}
    (tmp_path / "out.run" / "run.lock").write_text(json.dumps(holder))
    done = command("cancel", tmp_path / "out.run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "process 7 on elsewhere works on it" in done.stderr
    assert f"there: robotrove cancel {tmp_path}/out.run" in done.stderr


def test_what_is_no_run(tmp_path: Path) -> None:
    done = command("cancel", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a run directory" in done.stderr
