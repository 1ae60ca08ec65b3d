from __future__ import annotations

from robotrove.executors.executor import Executor
from robotrove.executors.local import LocalExecutor
from robotrove.tests.contracts_executor import ExecutorContract


class TestLocal(ExecutorContract):
    def executor(self) -> Executor:
        return LocalExecutor(workers=2)
