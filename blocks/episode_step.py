"""Episode blocks: datatrove's PipelineStep with one abstract method per kind.

The keyword-only constructor of a block is its YAML schema, so every block keeps each constructor
argument, unchanged, in an attribute of the same name, and opens nothing before `run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from datatrove.pipeline.base import PipelineStep

from ..core.columns import Column
from ..core.episode import Episode
from ..core.errors import EpisodeRejected, RobotroveError, explained, in_utf8, nearest, of_episode, option
from ..core.features import vectors
from .inverse import InverseEntry

Entries: TypeAlias = list[InverseEntry]
DEFAULT_COLUMNS = ("observation.state", "action")


class EpisodeStep(PipelineStep, ABC):
    """A block that looks at one episode at a time; what goes wrong there costs this episode.

    Attributes:
        name: Name in a pipeline file.
        reads_data: True if the block loads columns; others are applied while planning too.
        keeps_vectors: True if each row of a vector stays as it was recorded, whichever rows are taken, so that
            actions can be taken back to the recording.
    """

    name = "episode_step"
    type = "🤖 - EPISODE"
    reads_data = False
    keeps_vectors = False

    @property
    def has_inverse(self) -> bool:
        """True if it is known how vectors go back through the block."""
        return self.keeps_vectors

    @abstractmethod
    def step(self, ep: Episode) -> Episode:
        """Return the episode for the next block; mark it with `ep.reject` or raise EpisodeRejected."""

    def notes(self, episodes: Sequence[tuple[str, str]]) -> list[str]:
        """Return what a user should know of the block once a run is planned.

        Args:
            episodes: File and key of each listed episode.
        """
        return []

    def visit(self, ep: Episode) -> Episode:
        """Apply the block unless an earlier one rejected the episode; bad data and errors become a rejection."""
        if ep.rejection is None:
            try:
                changed = self.step(ep)
                if not isinstance(changed, Episode):
                    raise TypeError(f"{type(changed).__name__} came back, expected the episode; return it")
                if not isinstance(changed.text, str) or in_utf8(changed.text) != changed.text:
                    raise TypeError(f"text is {changed.text!r}, expected a text in UTF-8")
                ep = changed
            except Exception as exc:
                _refuse(ep, self.name, exc)
            if ep.rejection is not None:
                self.stat_update(f"rejected_{ep.rejection.reason}")
        return ep

    def run(self, data: Iterable[Episode], rank: int = 0, world_size: int = 1) -> Iterator[Episode]:
        """Pass every episode on, rejected ones included: the writer accounts for each."""
        for ep in data:
            yield self.visit(ep)


def guarded(step: Any) -> Any:
    """Return a step that costs an episode only what goes wrong there; a stock filter of datatrove, changed to do so.

    Rejected episodes do not come to the filter: it would drop them, and their reason with them.
    """
    if isinstance(step, EpisodeStep):
        return step
    choose = step.filter

    def choose_or_reject(ep: Episode) -> bool | tuple[bool, str]:
        if ep.rejection is None:
            try:
                chosen: bool | tuple[bool, str] = choose(ep)
                return chosen
            except Exception as exc:
                _refuse(ep, step.name, exc)
        return True

    step.filter = choose_or_reject
    return step


def _refuse(ep: Episode, name: str, exc: Exception) -> None:
    """Reject an episode for an error of a block, unless the other episodes would fail too."""
    if isinstance(exc, OSError):  # a full disk, or a file that the block needs
        found = f"{explained(exc)}, at episode {ep.id}"
        todo = f"fix the cause and rerun, or the block and rerun with {option('accept-code')}"
        raise RobotroveError(f"block {name}", found, todo=todo) from exc
    refused = of_episode(exc, f"block {name}")
    ep.reject(refused.reason, refused.detail, error=True)


class EpisodeFilter(EpisodeStep):
    """Chooses episodes."""

    type = "🔻 - FILTER"
    keeps_vectors = True

    @abstractmethod
    def reject(self, ep: Episode) -> str | None:
        """Return "reason" or "reason: sentence" to leave the episode out, None to keep it."""

    def step(self, ep: Episode) -> Episode:
        """Mark the episode if `reject` gives a reason."""
        text = self.reject(ep)
        if not isinstance(text, str | None):
            raise TypeError(f"reject returned {text!r}, expected a reason or None")
        if text:
            reason, _, detail = text.partition(": ")
            ep.reject(reason, detail or f"rejected by {self.name}", error=False)
        return ep


class EpisodeMap(EpisodeStep):
    """Changes episodes: takes rows, maps columns, relabels; lazily, so that planning can apply it."""

    type = "🔁 - MAP"

    @abstractmethod
    def apply(self, ep: Episode) -> Episode:
        """Return the changed episode; raise EpisodeRejected if it cannot be changed."""

    def inverse(self, key: str, names: list[str], entries: Entries) -> tuple[list[str], Entries]:
        """Follow the entries of a recorded vector through the block, so that they can be taken back.

        A block that changes vectors defines it, so that `verify --replay` and `export-actions` work; no data are read.

        Args:
            key: The vector's feature.
            names: Names of its entries before the block, in order.
            entries: Each recorded entry, its column counted before the block.

        Returns:
            The names after the block, and the entries with their columns counted there and the changes of the block.

        Raises:
            UsageError: If the block cannot be undone.
        """
        return names, entries

    @property
    def has_inverse(self) -> bool:
        """See the base class."""
        return self.keeps_vectors or type(self).inverse is not EpisodeMap.inverse

    def step(self, ep: Episode) -> Episode:
        """Apply the change."""
        return self.apply(ep)


def new_column(ep: Episode, key: str, column: Column) -> Episode:
    """Return the episode with a column that it does not have yet.

    Raises:
        EpisodeRejected: `duplicate_column`.
    """
    if key in ep.columns:
        raise EpisodeRejected("duplicate_column", f"{key} already exists; remove it from `columns:`")
    return ep.with_column(key, column)


def vector(ep: Episode, key: str) -> Column:
    """Return a column that must be a numeric vector.

    Raises:
        EpisodeRejected: `missing_column` or `not_a_vector`.
    """
    if key not in ep.columns:
        raise EpisodeRejected("missing_column", f"has no column {key!r}{nearest(key, ep.columns)}")
    column = ep.columns[key]
    if not vectors({key: column.feature}) or len(column.feature.shape) != 1:
        raise EpisodeRejected("not_a_vector", f"{key} is {column.feature}, expected a numeric vector")
    return column


def check_width(key: str, found: int, expected: Sequence[object]) -> None:
    """Refuse a vector that has not as many entries as expected.

    Raises:
        EpisodeRejected: `wrong_joint_count`.
    """
    if found != len(expected):
        raise EpisodeRejected("wrong_joint_count", f"{key} has {found} entries, expected {len(expected)}")
