"""What `robotrove status` says of a run on the cluster, from its first job on, and where that is out of sight."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from robotrove.core.workspace import Workspace
from robotrove.tests.slurm.disturbed import SHARDS, Run, ended
from robotrove.tests.slurm.jobs import live, submission, submit, wait_for, wait_until_over
from robotrove.tests.support.pipelines.faults import command, start

NOWHERE = os.environ | {"PATH": "/nowhere"}  # a machine without Slurm


def _counts(status: dict[str, Any], stage: str = "convert") -> tuple[int, int, int, int]:
    """Return how many ranks of a stage are done, running, pending and failed."""
    [found] = [found for found in status["stages"] if found["name"] == stage]
    assert found["done"] + found["running"] + found["pending"] + found["failed"] <= found["ranks"]
    return found["done"], found["running"], found["pending"], found["failed"]


def _status(run: Run, *more: str, **where: Any) -> str:
    done = command("status", Workspace.for_output(run.output).run_dir, *more, **where)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_from_the_first_job_to_the_failure_and_the_end(run: Run) -> None:
    run.hold(0, 1)
    waiting = run.start("--workers", "2")
    victim = run.worker_of(0)
    run.worker_of(1)
    wait_for(lambda: run.status()["kept"] == 4, "two episodes of each shard")

    status = run.status()
    assert status["state"] == "running"
    assert _counts(status) == (0, 2, SHARDS - 2, 0)
    assert all(_counts(status, stage["name"]) == (0, 0, stage["ranks"], 0) for stage in status["stages"][1:])
    assert status["jobs"] == submission(run.output).job_ids
    assert status["waiting_for"]["JobArrayTaskLimit"] == SHARDS - 2
    assert (status["failures"], status["rejected"], status["seconds_left"] is None) == ([], {}, False)
    text = _status(run)
    assert "  convert: 0 of 4 ranks, 2 running, 2 pending\n" in text
    assert f"  on the cluster: job {', '.join(status['jobs'])}\n" in text
    assert "  waiting: 2 jobs (JobArrayTaskLimit)\n" in text

    unseen = json.loads(_status(run, "--json", env=NOWHERE))
    assert unseen["state"] == "running"
    assert _counts(unseen) == (0, 2, 2, 0)
    assert (unseen["jobs"], unseen["waiting_for"]) == ([], {})

    run.let_go(1)
    wait_for(lambda: _counts(run.status()) == (3, 1, 0, 0), "all shards but the first")
    victim.send_signal(signal.SIGKILL)
    done = ended(waiting)
    assert done.returncode == 1
    why = "its worker was killed by signal 9"
    assert f"stage convert: 1 rank(s) failed\n    rank 0: {why}" in done.stderr
    assert done.stderr.rstrip().endswith("--executor slurm")

    wait_until_over(run.output)
    status, text, unseen = run.status(), _status(run), json.loads(_status(run, "--json", env=NOWHERE))
    assert status["state"] == "stopped"
    assert _counts(status) == (3, 0, 0, 1)
    assert status["jobs"] == []
    failure = next(failure for failure in status["failures"] if failure["stage"] == "convert")
    assert (failure["rank"], failure["why"]) == (0, why)
    assert Path(failure["log"]).read_text().splitlines()[-1] == failure["last_lines"][-1]
    assert f"stage convert, rank 0 failed: {why}" in Path(failure["log"]).read_text()
    # Those that came after it say that it was not their turn.
    assert Counter(failure["stage"] for failure in status["failures"])["1-aggregator.plan"] == 1
    later = next(failure for failure in status["failures"] if failure["stage"] == "1-aggregator.plan")
    assert "does not begin: 1 of 4 ranks of stage convert are incomplete (0)" in later["why"]
    assert f"  failed: convert, rank 0: {why}\n" in text
    assert f"\n      {failure['log']}\n" in text
    assert _counts(unseen) == (3, 0, 0, 1)
    assert next(found for found in unseen["failures"] if found["stage"] == "convert")["why"] == why

    run.let_go(0)
    run.finish()
    status = run.status()
    assert status["state"] == "finished"
    assert status["failures"] == []
    assert all(_counts(status, stage["name"]) == (stage["ranks"], 0, 0, 0) for stage in status["stages"])
    assert _status(run, env=NOWHERE).startswith("finished: 20 of 20 episodes decided, 20 kept")


def test_watching_ends_with_the_run(run: Run) -> None:
    run.hold(0)
    assert submit(run.pipeline, run.output).returncode == 0
    run.worker_of(0)
    run_dir = Workspace.for_output(run.output).run_dir
    watching, in_json = start("status", run_dir, "--watch"), start("status", run_dir, "--watch", "--json")
    time.sleep(3)  # both have seen it at work
    run.let_go(0)
    done = ended(watching)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("running: ")
    assert "finished: 20 of 20 episodes decided" in done.stdout.rpartition("running: ")[2]
    done = ended(in_json)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["state"] == "finished"
    run.check()


def test_a_run_that_waits_and_then_is_cancelled(run: Run) -> None:
    assert submit(run.pipeline, run.output, "executor.sbatch={hold: true}").returncode == 0
    status = run.status()
    assert (status["state"], _counts(status)) == ("held", (0, 0, SHARDS, 0))
    assert status["held"] == dict.fromkeys(submission(run.output).job_ids, "JobHeldUser")
    assert status["waiting_for"] == {}
    unseen = json.loads(_status(run, "--json", env=NOWHERE))
    assert _counts(unseen) == (0, 0, SHARDS, 0)

    run_dir = Workspace.for_output(run.output).run_dir
    assert command("cancel", run_dir).returncode == 0
    wait_for(lambda: not live(run.output), "an empty queue")
    status = run.status()
    assert (status["state"], _counts(status)) == ("planned", (0, 0, 0, SHARDS))
    job = submission(run.output).job_ids[0]  # which the accounting may be told of later
    wait_for(
        lambda: all(
            failure["why"].startswith(f"job {job}_{failure['rank']} is cancelled")
            for failure in run.status()["failures"][:SHARDS]
        ),
        "what became of the jobs",
    )
    again = command("cancel", run_dir)
    assert (again.returncode, again.stdout) == (0, "nothing works on this run\n")
