"""Contract of an executor, run with stages that note what their ranks do."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..core.errors import RankFailed
from ..executors.executor import Executor
from ..executors.rank_runner import RankRunner
from ..executors.stage import Stage

FAILING_RANK = 3


def note_rank(folder: Path, data: object, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
    """A step that leaves a line per start, and fails in one rank as long as the folder says so."""
    with open(folder / f"rank-{rank}", "a") as stream:
        stream.write(f"{world_size}\n")
    if rank == FAILING_RANK and (folder / "fail").exists():
        raise ValueError("this rank is meant to fail")
    yield from ()


def make_stage(folder: Path, ranks: int) -> Stage:
    """A stage with ranks that only note that they ran."""
    steps: list[Callable[..., Any]] = [partial(note_rank, folder)]
    command = [sys.executable, "-m", __name__, str(folder), str(ranks)]
    logs = folder / "logs" / "noting"
    return Stage("noting", ranks, logs, lambda: list(steps), command, "robotrove run x.yaml", folder)


class ExecutorContract(ABC):
    """Contract of an executor: derive a test class and give `executor`."""

    @abstractmethod
    def executor(self) -> Executor:
        """Return the executor under test."""

    def launch(self, stage: Stage) -> None:
        with self.executor() as executor:
            executor.launch(stage, lambda: None)

    def ran(self, folder: Path) -> dict[int, list[str]]:
        """Return rank to the world sizes it was started with."""
        return {int(path.name[5:]): path.read_text().split() for path in folder.glob("rank-*")}

    def test_every_rank_runs_once_and_knows_the_world_size(self, tmp_path: Path) -> None:
        self.launch(make_stage(tmp_path, 5))
        assert self.ran(tmp_path) == {rank: ["5"] for rank in range(5)}
        assert make_stage(tmp_path, 5).missing() == []

    def test_a_complete_rank_is_not_run_again(self, tmp_path: Path) -> None:
        self.launch(make_stage(tmp_path, 3))
        make_stage(tmp_path, 3).forget([1])
        self.launch(make_stage(tmp_path, 3))
        assert self.ran(tmp_path) == {0: ["3"], 1: ["3", "3"], 2: ["3"]}

    def test_a_failing_rank_fails_alone_and_is_resumed_alone(self, tmp_path: Path) -> None:
        (tmp_path / "fail").touch()
        with pytest.raises(RankFailed, match="meant to fail") as caught:
            self.launch(make_stage(tmp_path, 5))
        assert list(caught.value.failures) == [FAILING_RANK]
        assert make_stage(tmp_path, 5).missing() == [FAILING_RANK]
        (tmp_path / "fail").unlink()
        self.launch(make_stage(tmp_path, 5))
        assert self.ran(tmp_path) == {rank: ["5"] * (2 if rank == FAILING_RANK else 1) for rank in range(5)}


def main() -> None:
    """The worker of `make_stage`."""
    stage = make_stage(Path(sys.argv[1]), int(sys.argv[2]))
    for line in sys.stdin:
        error = ""
        try:
            RankRunner(stage).run_rank(int(line.split()[-1]))
        except Exception as exc:  # the answer names it
            error = str(exc)
        print(json.dumps({"error": error}), flush=True)


if __name__ == "__main__":
    main()
