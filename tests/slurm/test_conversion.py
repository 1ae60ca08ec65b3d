"""A conversion through all its stages on the cluster: the same bytes as here, from both nodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robotrove.core.workspace import Workspace
from robotrove.executors.executor import Executor
from robotrove.executors.slurm.slurm_executor import SlurmExecutor
from robotrove.pipelines.run.stages import stages
from robotrove.testing.executor_contract import ExecutorContract
from robotrove.tests.slurm.jobs import EXECUTOR, ON_CLUSTER, slurm, submission
from robotrove.tests.support.pipelines.runs import (
    assert_encoded_once,
    assert_no_leftovers,
    assert_same_dataset,
    run_cli,
    sample,
    write_pipeline,
)

EPISODES, FRAMES, SHARDS = 183, 100, 61  # a shard closes at 300 frames


class TestOnTheCluster(ExecutorContract):
    def executor(self) -> Executor:
        return SlurmExecutor(**EXECUTOR)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """61 shards of two cameras."""
    folder = tmp_path_factory.mktemp("source")
    path = sample(folder, "demos.hdf5", EPISODES, FRAMES, cameras=("front", "wrist"))
    # A job that has a node to itself: the second one runs on the other.
    executor = {**EXECUTOR, "cpus": 8, "ranks_per_job": 31}
    return write_pipeline(folder, [path], formats=["v3.0", "v2.1"], executor=executor)


def test_a_whole_conversion(pipeline: Path, tmp_path: Path) -> None:
    out, here = tmp_path / "out", tmp_path / "here"
    done = run_cli(pipeline, out, *ON_CLUSTER, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["kept"], report["frames"], report["rejected"]) == (EPISODES, EPISODES * FRAMES, {})
    assert report["was_finished"] is False

    assert run_cli(pipeline, here, "--executor", "local").returncode == 0
    assert_same_dataset(out, here)
    assert report["datasets"] == [str(out / "v3.0"), str(out / "v2.1")]
    assert_encoded_once(out)
    assert_no_leftovers(out)

    workspace = Workspace.for_output(out)
    assert stages(workspace)[0].ranks == SHARDS
    jobs = submission(out)
    assert sum(len(ranks) for _, _, ranks in jobs.jobs_of("convert")) == SHARDS
    nodes = slurm("sacct", "-nPX", "-o", "NodeList", "-j", ",".join(jobs.job_ids)).split()
    assert set(nodes) == {"n1", "n2"}

    again = run_cli(pipeline, out, *ON_CLUSTER, "--wait")
    assert again.returncode == 0, again.stderr
    assert "already finished" in again.stdout
    assert submission(out) == jobs, "something was submitted for a run that is finished"
