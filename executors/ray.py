"""ray: ranks as tasks of a Ray cluster, by datatrove's own executor for it; an extra (robotrove[ray])."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Annotated, Any

from datatrove.executor.ray import RayPipelineExecutor
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats
from pydantic import Field

from ..core.errors import RobotroveError, UsageError
from .executor import Executor
from .local import POLL_S
from .stage import RankMarks, Stage
from .worker import Worker

Count = Annotated[int, Field(ge=1)]


class RayExecutor(Executor):
    """Runs ranks on a Ray cluster; all nodes must see the run directory under the same path.

    Args:
        workers: Ranks at a time; as many as the cluster allows by default.
        address: Address of the cluster: "auto" for this machine's cluster, "local" to start one here.
        cpus: CPUs of a rank.
        mem_gb: Memory in GB that Ray reserves for a rank.
    """

    def __init__(
        self,
        *,
        workers: Count | None = None,
        address: str = "auto",
        cpus: Count = 2,
        mem_gb: Annotated[float, Field(gt=0)] = 4,
    ) -> None:
        self.workers = workers
        self.address = address
        self.cpus = cpus
        self.mem_gb = mem_gb
        self._ray: Any = None

    def close(self) -> None:
        """Leave the cluster."""
        if self._ray is not None:
            self._ray.shutdown()

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        """Run the missing ranks; see the base class."""
        self._ray = self._ray or _connected(self.address)
        logger.disable(RayPipelineExecutor.__module__)  # it tells in sentences what `on_poll` shows
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(_RayRanks(stage, self).run)
            while not wait([running], POLL_S).done:
                on_poll()
            with suppress(FileNotFoundError):  # datatrove adds up statistics of all ranks, and idle ones leave none
                running.result()
        if missing := stage.missing():
            noted = RankMarks(stage.logs).failures()
            raise stage.failed({rank: noted.get(rank, "its Ray task was lost") for rank in missing})


class _RayRanks(RayPipelineExecutor):
    """Sends ranks to where Ray has room; there a worker rebuilds the steps, as everywhere."""

    def __init__(self, stage: Stage, settings: RayExecutor) -> None:
        super().__init__(
            [],
            tasks=stage.ranks,
            workers=settings.workers or -1,
            logging_dir=str(stage.logs),
            cpus_per_task=settings.cpus,
            mem_per_cpu_gb=settings.mem_gb / settings.cpus,
        )
        self._stage = stage.name
        self._logs = stage.logs
        self._command = list(stage.command[1:])

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        worker = Worker([sys.executable, *self._command], self.cpus_per_task)
        try:
            worker.give(self._stage, rank)
            answer = worker.answer()
            why = answer["error"] if answer else worker.epitaph()
        finally:
            worker.end()
        if why:
            RankMarks(self._logs).fail(rank, why)
            raise RuntimeError(why)
        return PipelineStats()


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as exc:
        raise UsageError("executor ray", str(exc), "Ray", "pip install 'robotrove[ray]'") from exc
    try:
        ray.init(address=address, log_to_driver=False)
    except ConnectionError as exc:
        raise RobotroveError(
            f"Ray at {address}", str(exc), "a Ray cluster that answers", "ray start --head, or address: local"
        ) from exc
    return ray
