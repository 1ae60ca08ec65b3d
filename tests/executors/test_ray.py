"""The Ray executor on a cluster of its own, in this process's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.workspace import Workspace
from robotrove.executors.executor import Executor
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.testing.executor_contract import ExecutorContract
from robotrove.tests.support.pipelines.runs import assert_same_dataset, run_here, sample, write_pipeline


@pytest.fixture(autouse=True)
def _ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")


def _executor() -> Executor:
    from robotrove.executors.ray import RayExecutor

    return RayExecutor(address="local", cpus=1, mem_gb=0.5)


class TestRay(ExecutorContract):
    def executor(self) -> Executor:
        return _executor()


def test_a_conversion_equals_the_local_one(tmp_path: Path) -> None:
    files = [sample(tmp_path, "a.hdf5", 12, 40), sample(tmp_path, "b.hdf5", 9, 40)]
    pipeline = write_pipeline(tmp_path, files)
    run_here(pipeline, tmp_path / "here")
    execute(load_pipeline(pipeline), Workspace.for_output(tmp_path / "there"), _executor())
    assert_same_dataset(tmp_path / "there", tmp_path / "here")
