"""Recordings of a run, paired with the episodes of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from ...core.episode import Episode
from ...core.errors import Damaged, DatasetDamaged, UsageError
from ...core.source_file import SourceFile, read_files
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit, recorded_edits
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import ProvenanceRow, origins, uneven
from ...manifests.manifest import EpisodeRow
from ...media.encode.settings import VideoSettings

MAX_PROBLEMS = 20  # kept; the rest is only counted


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """One way in which a dataset differs from its source.

    Attributes:
        episode: Number of the episode in the dataset, None if it is not there.
        source: File and key it comes from, or the file of the dataset that cannot be read.
        feature: The feature, empty if it is about the episode as a whole.
        row: First row of the episode that differs, None if it is about all of them.
        message: What was found.
    """

    episode: int | None
    source: str
    feature: str
    row: int | None
    message: str

    @classmethod
    def of_tables(cls, damage: Damaged) -> SourceProblem:
        """Return the problem that the tables which lead to the episodes are damaged."""
        return cls(None, damage.place, "", None, damage.found)

    @property
    def where(self) -> str:
        """The place in words."""
        episode = self.source if self.episode is None else f"episode {self.episode} ({self.source})"
        row = "" if self.row is None else f"row {self.row}"
        return ", ".join(filter(None, (episode, self.feature, row)))


Note: TypeAlias = Callable[[SourceProblem], None]


class Problems:
    """Keeps the first problems and counts all of them."""

    def __init__(self) -> None:
        self.kept: list[SourceProblem] = []
        self.count = 0

    def note(self, problem: SourceProblem) -> None:
        """Add one."""
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            self.kept.append(problem)


@dataclass(frozen=True, slots=True)
class Pair:
    """An episode of the dataset, its provenance, and the row of the manifest that it comes from."""

    stored: EpisodeLocation
    origin: ProvenanceRow
    row: EpisodeRow

    def problem(self, message: str, feature: str = "", row: int | None = None) -> SourceProblem:
        """Return a problem of this episode."""
        return SourceProblem(self.stored.index, self.origin.label, feature, row, message)


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings of a finished run.

    Attributes:
        run_dir: The run directory.
        run_digest: What tells the run apart, in the provenance of its episodes.
        rows: Those that it kept.
        episodes: Opens listed ones again, in order.
        steps: What the run did to each episode, in order.
        video: How it encoded videos.
    """

    run_dir: Path
    run_digest: str
    rows: Sequence[EpisodeRow]
    episodes: Callable[[Sequence[EpisodeRow]], Iterator[Episode]]
    steps: Sequence[Any]
    video: VideoSettings


class SourceEpisodes:
    """Pairs the episodes of a dataset with the recordings of a run, and opens these.

    Args:
        dataset: The dataset.
        recordings: Those of the run.

    Attributes:
        foreign: Episodes of the dataset that come from another run; counted by `pairs`.
        dropped: Episodes of the run that the dataset lacks, after an edit that drops episodes; counted by `pairs`.
        features: Features of the dataset that have the same name in the run.
    """

    def __init__(self, dataset: Dataset, recordings: Recordings) -> None:
        self._dataset = dataset
        self._recordings = recordings
        self.foreign = self.dropped = 0
        self._edits = recorded_edits(dataset)
        renamed: set[str] = set()
        for edit in reversed(self._edits):
            renamed = {*filter(None, map(edit.name, renamed)), *edit.rename_features.values()}
        self.features = {key: feature for key, feature in dataset.features.items() if key not in renamed}

    def edits(self, pair: Pair) -> list[tuple[DatasetEdit, int]]:
        """Return the edits that an episode went through, the last first, each with its number before it."""
        numbers = [step["episode"] for step in pair.origin.input_datasets or ()]
        return list(zip(self._edits, numbers, strict=False))  # of recordings that were appended later there are none

    def pairs(self, note: Note) -> list[Pair]:
        """Find the manifest row of each episode; note what is there twice, or not at all.

        Raises:
            UsageError: If no episode comes from the run.
            Damaged: If the tables that lead to the episodes cannot be read.
        """
        rows = {(row.source, row.key): row for row in self._recordings.rows}
        pairs: dict[tuple[str, str], Pair] = {}
        # Faults of the tables are for `verify` to tell, except those that hide an episode. An episode with
        # damaged rows is found when it is compared.
        faults: list[DatasetDamaged] = []
        located = open_dataset(self._dataset.root, damage=faults.append).episodes()
        for stored, origin in zip_longest(located, origins(self._dataset)):
            if stored is None or origin is None:
                raise faults[0] if faults else uneven(self._dataset)
            name = (origin.source_name, origin.source_key)
            if origin.run_digest != self._recordings.run_digest:
                self.foreign += 1
            elif name in pairs:
                text = f"episode {pairs[name].stored.index} comes from there too"
                note(SourceProblem(stored.index, origin.label, "", None, text))
            elif name not in rows:
                note(SourceProblem(stored.index, origin.label, "", None, "the run kept no such episode"))
            else:
                pairs[name] = Pair(stored, origin, rows[name])
        if not pairs:
            found = f"does not come from the run in {self._recordings.run_dir}"
            raise UsageError(str(self._dataset.root), found, "a dataset and the run directory that it was made in")
        may_lack = any(edit.drop or edit.keep for pair in pairs.values() for edit, _ in self.edits(pair))
        for name, row in rows.items():
            if name in pairs:
                continue
            if may_lack:
                self.dropped += 1
            else:
                note(SourceProblem(None, row.label, "", None, "the run kept it, but the dataset does not have it"))
        return list(pairs.values())

    def opened(self, pairs: Sequence[Pair], note: Note, steps: Sequence[Any] = ()) -> Iterator[tuple[Episode, Pair]]:
        """Yield the recording of each pair, gone through some steps; note which files are gone or changed."""
        for _, group in groupby(pairs, key=lambda pair: pair.row.path):
            waiting = {pair.row.index: pair for pair in group}
            rows = [pair.row.doubted(pair.origin.content_digest or "") for pair in waiting.values()]
            stream: Any = self._recordings.episodes(rows)
            for step in steps:
                stream = step.run(stream)
            gone: list[Pair] = []
            for ep in stream:
                pair = waiting.pop(ep.origin.row)
                if ep.rejection is not None and ep.rejection.reason == "source_changed":
                    gone.append(pair)
                else:
                    yield ep, pair
            if gone:
                note(gone[0].problem(f"{_gone(gone[0].row)}: {len(gone)} episode(s) cannot be compared"))
            for pair in waiting.values():
                note(pair.problem("a step now drops it"))


def _gone(row: EpisodeRow) -> str:
    """Return which file of an episode is missing or changed: one that its recording takes data from, or itself."""
    recording = SourceFile(Path(row.path), row.size, row.mtime_ns)
    for file in (*(SourceFile(*state) for state in read_files(row.files)), recording):
        if not file.path.exists():
            return f"{file.path} is missing"
        if file.is_changed():
            return f"{file.path} was changed since"
    return f"{row.path} has other data than when the run was planned"
