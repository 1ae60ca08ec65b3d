"""Progress on standard error; nothing where it is no terminal."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..core.errors import printable
from ..pipelines.run.status import RunStatus, Watcher
from .output import echo, size


def duration(seconds: float | None) -> str:
    """Return seconds as 1:02:03, or – if unknown."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Bar:
    """A progress bar on standard error, shown inside a `with` block.

    Args:
        description: What is being done at first.
    """

    def __init__(self, description: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(description, total=None, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(
        self, done: int = 0, total: int | None = None, *, description: str | None = None, note: str | None = None
    ) -> None:
        """Show how many of how many are done; texts left out stay as they are."""
        texts = {"description": description, "note": note}
        shown: dict[str, Any] = {name: printable(text) for name, text in texts.items() if text is not None}
        self._progress.update(self._task, completed=done, total=total, **shown)


class Display(Bar, Watcher):
    """The progress of a run: episodes or ranks, and of episodes frames per second, rejected, time left."""

    def __init__(self) -> None:
        super().__init__("reading files")

    def moved_aside(self, folder: Path, target: Path, count: int) -> None:
        """Say it, terminal or not."""
        echo(f"moved aside: {printable(f'{folder} -> {target}')} ({size(count)})", err=True)

    def planning(self, done: int, total: int) -> None:
        """Show the files read."""
        self.show(done, total)

    def started(self, status: RunStatus) -> None:
        """Show what the run counts from here on."""
        self.show(description=status.unit)
        self.progress(status)

    def progress(self, status: RunStatus) -> None:
        """Show where the run is."""
        note = next((stage.name for stage in status.stages if stage.done < stage.ranks), "done")
        if status.unit == "episodes":
            rejected, left = sum(status.rejected.values()), duration(status.seconds_left)
            note = f"{status.frames_per_s:.0f} frames/s · {rejected} rejected · {left} left · {note}"
        self.show(status.done, status.total, note=note)
