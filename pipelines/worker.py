"""A worker process: runs the ranks that it is told on standard input, one after the other.

`python -m robotrove.pipelines.worker RUN_DIR`, then lines "STAGE RANK"; each is answered with a line of JSON.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from contextlib import suppress
from pathlib import Path

from ..core.errors import EpisodeRejected, RobotroveError
from ..executors.rank import RankRunner
from .stages import stage_of, stages, workspace_of


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
    with suppress(Exception):  # it comes up again in the rank that it concerns
        stages(workspace)[0].build()  # imports most of what ranks need, while there is nothing else to do
    runners: dict[str, RankRunner] = {}
    while (order := ranks.get()) is not None:
        stage, rank = order
        error = ""
        try:
            if stage not in runners:
                runners[stage] = RankRunner(stage_of(workspace, stage))
            runners[stage].run_rank(rank)
        except EpisodeRejected as exc:
            error = f"{exc.reason}: {exc.detail}"
        except RobotroveError as exc:
            error = str(exc)
        except Exception as exc:  # whatever it is, it is this rank's failure and told to the parent
            error = f"{type(exc).__name__}: {exc}"
        is_busy.clear()
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()
    sys.stdout.flush()
    os._exit(0)  # to take apart what was imported would take as long as a small stage


if __name__ == "__main__":
    main()
