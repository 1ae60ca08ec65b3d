"""What a cluster allows: long arrays, few jobs, other queues; and what reaches a job."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robotrove.core.workspace import Workspace
from robotrove.pipelines.run.stages import stages
from robotrove.tests.slurm.jobs import EXECUTOR, live, slurm, submission, submit, wait_for, wait_until_over
from robotrove.tests.support.pipelines.faults import command
from robotrove.tests.support.pipelines.many_ranks import create_run
from robotrove.tests.support.pipelines.runs import assert_same_dataset, run_here, sample, write_pipeline

EPISODES, FRAMES, SHARDS = 30, 100, 10  # a shard closes at 300 frames
MAX_ARRAY_SIZE, MANY = 1001, 3000
LATER: dict[str, Any] = {"begin": "now+1hour"}  # jobs that only wait


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("source"), "demos.hdf5", EPISODES, FRAMES)


@pytest.fixture(scope="module")
def plain(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every run of the source makes."""
    out = tmp_path_factory.mktemp("plain") / "out"
    run_here(write_pipeline(out.parent, [source]), out)
    return out


def _pipeline(folder: Path, source: Path, **executor: Any) -> Path:
    return write_pipeline(folder, [source], executor={"use": "slurm", **EXECUTOR, **executor})


def _queued_tasks(output: Path) -> set[tuple[str, int]]:
    return {(job.job_id, job.task) for job in live(output)}


def _shown(output: Path, stage: str = "convert") -> dict[str, str]:
    """Return what Slurm says of the first job of a stage."""
    [(job, task, _), *_] = submission(output).jobs_of(stage)
    lines = slurm("scontrol", "show", "job", "--oneliner", f"{job}_{task}" if task else job).splitlines()
    return dict(word.partition("=")[::2] for word in lines[0].split() if "=" in word)


def _nothing_is_left(output: Path) -> None:
    """A command that could not submit everything leaves nothing in the queue, and can be repeated."""
    jobs = Workspace.for_output(output).jobs
    name = (jobs / "name").read_text() if jobs.exists() else "none"
    wait_for(lambda: not slurm("squeue", "--noheader", "--name", name), "an empty queue")


def test_thousands_of_ranks_are_a_few_legal_arrays(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    pipeline = _pipeline(tmp_path, source, sbatch=LATER)
    workspace = create_run(pipeline, out, MANY)
    began = time.monotonic()
    done = submit(pipeline, out, "--json")
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n{MANY} ranks submitted in {time.monotonic() - began:.1f} s; ", end="")

    batches = submission(out).batches
    assert [batch.stages for _, batch in batches] == [
        ("convert",), ("1-aggregator.plan",), ("1-aggregator.process",),
        ("1-aggregator.finish", "2-dataset_stats.plan", "2-dataset_stats.process", "2-dataset_stats.finish",
         "commit", "report"),
    ]  # fmt: skip
    assert json.loads(done.stdout)["jobs"] == [
        {"job": job, "stages": list(batch.stages), "tasks": len(batch.jobs)} for job, batch in batches
    ]
    assert _queued_tasks(out) == {(job, task) for job, batch in batches for task in range(len(batch.jobs))}
    assert max(task for _, task in _queued_tasks(out)) < MAX_ARRAY_SIZE
    for stage in stages(workspace):
        ranks = [rank for _, _, ranks in submission(out).jobs_of(stage.name) for rank in ranks]
        assert ranks == list(range(stage.ranks)), f"each rank of {stage.name} has a job"
    assert stages(workspace)[0].ranks == MANY

    began = time.monotonic()
    status = command("status", workspace.run_dir, "--json")
    with capsys.disabled():
        print(f"robotrove status took {time.monotonic() - began:.1f} s")
    found = json.loads(status.stdout)
    assert (found["state"], found["stages"][0]["pending"], found["failures"]) == ("pending", MANY, [])

    cancelled = command("cancel", workspace.run_dir)
    assert cancelled.returncode == 0, cancelled.stderr
    assert f"cancelled the jobs of {submission(out).name}" in cancelled.stdout
    wait_until_over(out)


@pytest.fixture
def account_limit() -> Iterator[None]:
    """The user may submit 20 jobs at a time."""
    user = getpass.getuser()
    slurm("sacctmgr", "-i", "modify", "user", user, "set", "MaxSubmitJobs=20")
    try:
        yield
    finally:
        slurm("sacctmgr", "-i", "modify", "user", user, "set", "MaxSubmitJobs=-1")


@pytest.fixture
def small_qos() -> Iterator[str]:
    """A quality of service with which a user may submit 6 jobs at a time."""
    user, name = getpass.getuser(), "small"
    slurm("sacctmgr", "-i", "add", "qos", name, "set", "MaxSubmitJobsPerUser=6")
    slurm("sacctmgr", "-i", "modify", "user", user, "set", f"QOS+={name}")
    try:
        yield name
    finally:
        slurm("scancel", "--user", user)
        wait_for(lambda: not slurm("squeue", "--noheader"), "an empty queue")
        slurm("sacctmgr", "-i", "modify", "user", user, "set", f"QOS-={name}")
        slurm("sacctmgr", "-i", "delete", "qos", name)


class TestMaxSubmitJobs:
    def test_of_the_association(self, account_limit: None, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        pipeline = _pipeline(tmp_path, source, sbatch=LATER)
        create_run(pipeline, out, MANY)
        done = submit(pipeline, out)
        assert done.returncode == 0, done.stderr
        assert len(live(out)) <= 20
        ranks = [rank for _, _, ranks in submission(out).jobs_of("convert") for rank in ranks]
        assert ranks == list(range(MANY))
        assert len(list(submission(out).jobs_of("convert"))) >= 10, (
            "most of what is allowed goes to what has most ranks"
        )

    def test_of_a_qos_and_the_run_is_the_same(self, small_qos: str, source: Path, plain: Path, tmp_path: Path) -> None:
        pipeline = _pipeline(tmp_path, source, qos=small_qos)
        done = submit(pipeline, tmp_path / "out", "--wait")
        assert done.returncode == 0, done.stderr
        assert sum(len(batch.jobs) for _, batch in submission(tmp_path / "out").batches) <= 6
        assert_same_dataset(tmp_path / "out", plain)

    def test_too_small_for_a_run_is_an_error(self, account_limit: None, source: Path, tmp_path: Path) -> None:
        slurm("sbatch", "--hold", "--array=0-17", "--mem=10M", "--output=/dev/null", "--wrap", "true")
        done = submit(_pipeline(tmp_path, source), tmp_path / "out")
        assert (done.returncode, done.stdout) == (2, "")
        assert "slurm: allows 2 more jobs (MaxSubmitJobs)" in done.stderr
        assert "wait until your other jobs have ended" in done.stderr
        _nothing_is_left(tmp_path / "out")

    def test_one_that_nobody_can_ask_for_ends_what_was_submitted(self, source: Path, tmp_path: Path) -> None:
        """A limit of the whole account: sbatch takes the first jobs and refuses the next."""
        slurm("sacctmgr", "-i", "modify", "account", "robotrove", "set", "GrpSubmitJobs=11")
        try:
            done = submit(_pipeline(tmp_path, source, account="robotrove", sbatch=LATER), tmp_path / "out")
            assert (done.returncode, done.stdout) == (1, "")
            assert "AssocGrpSubmitJobsLimit" in done.stderr
            _nothing_is_left(tmp_path / "out")
        finally:
            slurm("sacctmgr", "-i", "modify", "account", "robotrove", "set", "GrpSubmitJobs=-1")


class TestOptions:
    def test_they_reach_the_job(self, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        pipeline = _pipeline(
            tmp_path,
            source,
            partition="urgent",
            account="robotrove",
            qos="normal",
            time=77,
            mem="1234MB",
            cpus=3,
            signal_before=33,
            sbatch={"begin": "now+1hour", "exclude": "n2", "nice": 5, "exclusive": False, "comment": "a word or two"},
        )
        done = submit(pipeline, out, "--workers", "4")
        assert done.returncode == 0, done.stderr
        shown = _shown(out)
        assert {
            key: shown[key] for key in ("Partition", "Account", "QOS", "TimeLimit", "NumCPUs", "CPUs/Task", "Requeue")
        } == {
            "Partition": "urgent", "Account": "robotrove", "QOS": "normal", "TimeLimit": "01:17:00", "NumCPUs": "3",
            "CPUs/Task": "3", "Requeue": "1",
        }  # fmt: skip
        assert shown["MinMemoryNode"] == "1234M"
        assert (shown["ExcNodeList"], shown["Nice"], shown["ArrayTaskThrottle"]) == ("n2", "5", "4")
        assert shown["JobName"] == submission(out).name
        assert Path(shown["StdOut"]).parent == Workspace.for_output(out).jobs
        wanted = slurm("squeue", "--noheader", "--name", shown["JobName"], "--format", "%k")
        assert set(wanted.splitlines()) == {"a word or two"}

    def test_setup_lines_run_before_the_job_s_interpreter(self, source: Path, plain: Path, tmp_path: Path) -> None:
        lines = [f"echo set up on $SLURM_JOB_ID >> {tmp_path}/told", "export ROBOTROVE_TEST_WORD='two words'"]
        done = submit(_pipeline(tmp_path, source, setup=lines, ranks_per_job=5), tmp_path / "out", "--wait")
        assert done.returncode == 0, done.stderr
        jobs = sum(len(batch.jobs) for _, batch in submission(tmp_path / "out").batches)
        assert len((tmp_path / "told").read_text().splitlines()) == jobs
        assert_same_dataset(tmp_path / "out", plain)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"partition": "nowhere"}, "invalid partition specified: nowhere"),
            ({"account": "nobody"}, "Invalid account or account/partition combination specified"),
            ({"qos": "gold"}, "Invalid qos specification"),
            ({"constraint": "a100"}, "Invalid feature specification"),
            ({"sbatch": {"no_such_option": 3}}, "unrecognized option '--no-such-option=3'"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )
    def test_a_wrong_one_is_one_clear_error(
        self, source: Path, tmp_path: Path, options: dict[str, Any], told: str
    ) -> None:
        done = submit(_pipeline(tmp_path, source, **options), tmp_path / "out")
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
        assert done.stderr.startswith("error: sbatch: ")
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) <= 5, done.stderr
        _nothing_is_left(tmp_path / "out")
        # Nothing of it stands in the way of the right command, nor of a run without a cluster.
        assert command("status", Workspace.for_output(tmp_path / "out").run_dir).stdout.startswith("planned: ")

    def test_those_that_robotrove_sets_itself_are_refused(self, source: Path, tmp_path: Path) -> None:
        done = submit(_pipeline(tmp_path, source, sbatch={"job-name": "mine"}), tmp_path / "out")
        assert (done.returncode, done.stdout) == (2, "")
        assert "sbatch: job_name cannot be given" in done.stderr
        assert not Workspace.for_output(tmp_path / "out").run_dir.exists()

    def test_jobs_of_an_array_at_a_time(self, source: Path, plain: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        done = submit(_pipeline(tmp_path, source, cpus=1, mem="1GB"), out, "--workers", "2")
        assert done.returncode == 0, done.stderr
        most = 0
        while jobs := live(out):
            most = max(most, sum(job.state == "RUNNING" for job in jobs))
            time.sleep(0.3)
        assert 1 <= most <= 2
        assert_same_dataset(out, plain)
