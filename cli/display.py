"""What a person sees while a run works; nothing where standard error is no terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..pipelines.status import RunStatus
from ..pipelines.watcher import Watcher


def duration(seconds: float | None) -> str:
    """Return seconds as 1:02:03, or – if unknown."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Display(Watcher):
    """A progress bar: episodes, frames per second, rejected, time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("reading files", total=None, note="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planning(self, done: int, total: int) -> None:
        """Show the files read."""
        self._progress.update(self._task, completed=done, total=total)

    def started(self, status: RunStatus) -> None:
        """Show episodes from here on."""
        self._progress.update(self._task, description="episodes", total=status.listed, completed=0)
        self.progress(status)

    def progress(self, status: RunStatus) -> None:
        """Show where the run is."""
        rejected = sum(status.rejected.values())
        working = next((stage.name for stage in status.stages if stage.done < stage.ranks), "done")
        left = duration(status.seconds_left)
        note = f"{status.frames_per_s:.0f} frames/s · {rejected} rejected · {left} left · {working}"
        self._progress.update(self._task, completed=status.kept + rejected, note=note)
