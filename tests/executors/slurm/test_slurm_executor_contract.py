"""The Slurm executor where there is no cluster: submitit runs the same jobs here."""

from __future__ import annotations

from robotrove.executors.executor import Executor
from robotrove.executors.slurm.slurm_executor import SlurmExecutor
from robotrove.testing.executor_contract import ExecutorContract


class TestLocal(ExecutorContract):
    def executor(self) -> Executor:
        return SlurmExecutor(cluster="local", workers=2)


class TestDebug(ExecutorContract):
    def executor(self) -> Executor:
        return SlurmExecutor(cluster="debug")
