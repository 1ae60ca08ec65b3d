"""Program of a worker process: runs the ranks that it reads from standard input, one after the other.

`python -m robotrove.pipelines.run.worker RUN_DIR`, then lines "STAGE RANK"; each is answered with a line of JSON.
One that is started before there is a run is told more: `RUN_DIR LOG BLOCK…`, the file that takes what it prints
from the first rank on, and the blocks that the run will have.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import explained, packages_needed
from ...core.machine import open_standard_streams

if TYPE_CHECKING:
    from ...executors.rank_runner import RankRunner


def main() -> None:
    """Work until standard input ends; if that happens in the middle of a rank, end at once."""
    open_standard_streams()
    # Only the protocol goes to the real standard output; whatever a library prints goes to the log.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    ranks: queue.Queue[tuple[str, int] | None] = queue.Queue()
    is_busy = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            is_busy.set()
            stage, _, rank = line.rpartition(" ")
            ranks.put((stage, int(rank)))
        if is_busy.is_set():
            os._exit(1)  # the parent is gone: its successor must not find two of us at work
        ranks.put(None)

    threading.Thread(target=listen, name="listen", daemon=True).start()
    run_dir, log, blocks = Path(sys.argv[1]), sys.argv[2:3], sys.argv[3:]
    run: RunRanks | None = None
    with suppress(Exception):  # it comes up again in the rank that it concerns
        if log:
            _import(blocks)
        else:
            run = RunRanks(run_dir)
            run.warm_up()
    while (order := ranks.get()) is not None:
        error = ""
        try:
            if log:
                _print_to(Path(log.pop()))
            run = run or RunRanks(run_dir)
            run(*order)
        except Exception as exc:  # whatever it is, it is this rank's failure and told to the parent
            error = explained(exc)
        is_busy.clear()
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()
    sys.stdout.flush()
    os._exit(0)  # to take apart what was imported would take as long as a small stage


def _import(blocks: Sequence[str]) -> None:
    from ...executors import rank_runner  # noqa: F401 - what ranks need
    from ..spec.block_lookup import block_class
    from . import preflight, stages  # noqa: F401

    for block in blocks:
        block_class(block)


def _print_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())
        os.dup2(stream.fileno(), sys.stdout.fileno())


class RunRanks:
    """Runs ranks of one run; what a stage needs is built once.

    It imports when it is made: by then the worker listens, and notices the death of its parent.

    Args:
        run_dir: The run directory.

    Raises:
        RobotroveError: If this machine would make other bytes than the one on which the run was created.
    """

    def __init__(self, run_dir: Path) -> None:
        with packages_needed():
            from .preflight import check_same_environment
            from .stages import stages, workspace_of

            workspace = workspace_of(run_dir)
            check_same_environment(workspace)
            self._stages = {stage.name: stage for stage in stages(workspace)}
        self._runners: dict[str, RankRunner] = {}

    def warm_up(self) -> None:
        """Import most of what ranks need, while there is nothing else to do."""
        next(iter(self._stages.values())).build()

    def __call__(self, stage: str, rank: int) -> None:
        """Run a rank, if it is its stage's turn: a cluster starts jobs whatever became of those before."""
        if stage not in self._runners:
            from ...executors.rank_runner import RankRunner

            self._stages[stage].check()
            self._runners[stage] = RankRunner(self._stages[stage])
        self._runners[stage].run_rank(rank)


if __name__ == "__main__":
    main()
