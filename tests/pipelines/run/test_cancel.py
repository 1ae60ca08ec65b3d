"""`robotrove cancel` of a run on this machine; that of jobs is in tests/slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from robotrove.core.errors import printable
from robotrove.core.lease import own_identity
from robotrove.core.workspace import Workspace
from robotrove.executors.slurm.submission import Submission, job_name
from robotrove.tests.slurm.gates import ENVIRONMENT, GATE, Gates
from robotrove.tests.slurm.jobs import wait_for
from robotrove.tests.support.executors.slurm_commands import put_commands
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


def _forged(run_dir: Path, pid: int) -> None:
    """Write a lock that names a process, as that process would."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    lock = json.loads(own_identity()) | {"pid": pid, "started": fields[19]}
    (run_dir / "run.lock").write_text(json.dumps(lock))


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user that has nothing to do with any run; it has a file open, as many have."""
    with open(tmp_path / "bystander.log", "wb") as log, subprocess.Popen(["sleep", "600"], stdout=log) as process:
        yield process
        process.kill()


def _refused(run_dir: Path, bystander: subprocess.Popen[bytes]) -> str:
    before = (run_dir / "run.lock").read_bytes()
    done = command("cancel", run_dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert bystander.poll() is None
    assert (run_dir / "run.lock").read_bytes() == before
    return done.stderr


def test_a_lock_that_names_another_process(pipeline: Path, tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    """Its pid and start time are right, and it is this user's: it is ended only if it has the lock open."""
    run_here(pipeline, tmp_path / "out")
    run_dir, pid = tmp_path / "out.run", bystander.pid
    _forged(run_dir, pid)
    said = _refused(run_dir, bystander)
    assert f"{run_dir}/run.lock: names process {pid}, which is not known to have this file open" in said
    assert f"kill -INT {pid}" in said

    # A file that the process has open, under the name of the lock
    _forged(run_dir, pid)
    (tmp_path / "bystander.log").write_bytes((run_dir / "run.lock").read_bytes())
    (run_dir / "run.lock").unlink()
    (run_dir / "run.lock").symlink_to(tmp_path / "bystander.log")
    assert "not known to have this file open" in _refused(run_dir, bystander)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_a_lock_of_another_user(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    lock = tmp_path / "out.run" / "run.lock"
    lock.touch()
    with open(lock) as stream, subprocess.Popen(["sleep", "600"], stdin=stream, preexec_fn=_hears_ctrl_c) as process:
        _forged(tmp_path / "out.run", process.pid)
        os.chown(lock, 12345, -1)
        assert "not known to have this file open" in _refused(tmp_path / "out.run", process)
        os.chown(lock, 0, -1)
        done = command("cancel", tmp_path / "out.run")
        assert (done.returncode, done.stdout) == (0, f"interrupted process {process.pid}\n")
        assert process.wait() == -signal.SIGINT


def _hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("name", ["*", "robotrove-0123456789ab,other", "--user=root", "robotrove-0123456789ab\n"])
def test_a_name_of_jobs_that_no_run_has(pipeline: Path, tmp_path: Path, slurm: Path, name: str) -> None:
    run_here(pipeline, tmp_path / "out")
    (tmp_path / "out.run/jobs").mkdir()
    (tmp_path / "out.run/jobs/name").write_text(name)
    Submission(name, "slurm", "ann", "here").write(tmp_path / "out.run/jobs")
    done = command("cancel", tmp_path / "out.run")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/out.run/jobs/name: {printable(name)} cannot be the name of jobs of a run" in done.stderr
    assert not slurm.exists()


def test_jobs_of_another_run_under_the_same_name(pipeline: Path, tmp_path: Path, slurm: Path) -> None:
    """Job 7 was submitted from this run, job 8 from another one, with a script that has the same file name."""
    run_here(pipeline, tmp_path / "out")
    (tmp_path / "out.run/jobs").mkdir()
    name = job_name(tmp_path / "out.run/jobs")
    Submission(name, "slurm", "ann", "here").write(tmp_path / "out.run/jobs")
    done = command("cancel", tmp_path / "out.run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"cancelled the jobs of {name}: 7\nleft job 8 of that name: its script is in another folder\n"
    )
    assert slurm.read_text() == "7\n"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put commands of Slurm on the PATH that know jobs 7 and 8; returns the file into which scancel writes."""
    (tmp_path / "other.run/jobs").mkdir(parents=True)
    own, other = (f"{tmp_path}/{run}.run/jobs/7_submission.sh" for run in ("out", "other"))
    prints = {
        "squeue": f"""case "$*" in
            *%o*) echo "7|{own}"; echo "8|{other}";;
            *) echo "7|0|RUNNING||n1"; echo "8|0|RUNNING||n1";;
        esac""",
        "scontrol": "true",
    }
    return put_commands(tmp_path, monkeypatch, prints)
