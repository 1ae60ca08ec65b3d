from __future__ import annotations

from robotrove.executors.executor import Executor
from robotrove.executors.local import LocalExecutor
from robotrove.testing.executor_contract import ExecutorContract


class TestLocal(ExecutorContract):
    def executor(self) -> Executor:
        return LocalExecutor(workers=2)
