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
    run_dir, log, blocks = Path(sys.argv[1]), sys.argv[2:3], sys.argv[3:]
    run: RunRanks | None = None
    with suppress(Exception):  # it comes up again in the rank that it concerns
        if log:
            _import(blocks)
        else:
            run = _ranks_of(run_dir)
            run.warm_up()
    while (order := ranks.get()) is not None:
        error = ""
        try:
            if log:
                _print_to(Path(log.pop()))
            run = run or _ranks_of(run_dir)
            run(*order)
        except Exception as exc:  # whatever it is, it is this rank's failure and told to the parent
            error = explained(exc)
        is_busy.clear()
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()
    sys.stdout.flush()
    os._exit(0)  # to take apart what was imported would take as long as a small stage


def _import(blocks: Sequence[str]) -> None:
    from ..spec.block_lookup import block_class
    from .run_ranks import RunRanks  # noqa: F401 - what it needs, ranks need

    for block in blocks:
        block_class(block)


def _print_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())
        os.dup2(stream.fileno(), sys.stdout.fileno())


def _ranks_of(run_dir: Path) -> RunRanks:
    with packages_needed():
        from .run_ranks import RunRanks

        return RunRanks(run_dir)


if __name__ == "__main__":
    main()
