"""A worker process: runs the ranks that it is told on standard input, one after the other.

`python -m robotrove.pipelines.worker RUN_DIR`, then lines "STAGE RANK"; each is answered with a line of JSON.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path

from ..core.errors import explained
from ..core.workspace import Workspace
from ..executors.rank import RankRunner
from .preflight import check_same_environment
from .stages import stage_of, workspace_of


def main() -> None:
    """Work until standard input ends; if that happens in the middle of a rank, end at once."""
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
    workspace = workspace_of(Path(sys.argv[1]))
    runners: dict[str, RankRunner] = {}
    while (order := ranks.get()) is not None:
        stage, rank = order
        error = ""
        try:
            if stage not in runners:
                runners[stage] = _runner(workspace, stage)
            runners[stage].run_rank(rank)
        except Exception as exc:  # whatever it is, it is this rank's failure and told to the parent
            error = explained(exc)
        is_busy.clear()
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()


def _runner(workspace: Workspace, name: str) -> RankRunner:
    """Return what runs ranks of a stage, if this is the right place and its turn: a cluster starts jobs by itself."""
    check_same_environment(workspace)
    stage = stage_of(workspace, name)
    stage.check()
    return RankRunner(stage)


if __name__ == "__main__":
    main()
