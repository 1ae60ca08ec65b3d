"""Stages without steps, for tests of what is decided about ranks from their marks alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robotrove.executors.stage import Stage


def bare_stage(run_dir: Path, name: str, ranks: int, *, done: Iterable[int] = ()) -> Stage:
    """A stage some of whose ranks are complete."""
    logs = run_dir / "logs" / name
    (logs / "completions").mkdir(parents=True, exist_ok=True)
    for rank in done:
        (logs / "completions" / f"{rank:05d}").touch()
    return Stage(name, ranks, logs, list, ["python"], "robotrove run x.yaml", run_dir)
