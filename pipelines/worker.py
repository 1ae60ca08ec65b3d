"""A worker process: runs the ranks that it is told on standard input, one after the other.

`python -m robotrove.pipelines.worker RUN_DIR`, then lines "STAGE RANK"; each is answered with a line of JSON.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import RobotroveError, explained

if TYPE_CHECKING:
    from .run_ranks import RunRanks


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
    run: RunRanks | None = None
    with suppress(Exception):  # it comes up again in the rank that it concerns
        run = _ranks_of(Path(sys.argv[1]))
        run.warm_up()
    while (order := ranks.get()) is not None:
        error = ""
        try:
            run = run or _ranks_of(Path(sys.argv[1]))
            run(*order)
        except Exception as exc:  # whatever it is, it is this rank's failure and told to the parent
            error = explained(exc)
        is_busy.clear()
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()
    sys.stdout.flush()
    os._exit(0)  # to take apart what was imported would take as long as a small stage


def _ranks_of(run_dir: Path) -> RunRanks:
    try:
        from .run_ranks import RunRanks  # on this machine a package may be missing, which is to be told in words
    except ImportError as exc:
        raise RobotroveError(
            f"{sys.executable} on {socket.gethostname()}",
            str(exc),
            "every package that robotrove needs",
            "install robotrove there, or leave that machine out, and resume the run",
        ) from exc
    return RunRanks(run_dir)


if __name__ == "__main__":
    main()
