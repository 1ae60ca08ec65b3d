"""Is a dataset what its sources say? Every kept episode opened again, run through the steps and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..blocks.hdf5_reader import Hdf5Reader
from ..blocks.shard_writer import ShardWriter
from ..core.columns import Array
from ..core.episode import Episode
from ..core.errors import EpisodeRejected, RobotroveError, UsageError
from ..core.features import DEFAULT_FEATURES, difference
from ..core.workspace import Workspace
from ..formats.lerobot.provenance import Origin, origins
from ..formats.lerobot.stored import StoredEpisode, StoredRows, stored_episodes
from ..formats.lerobot.view import DatasetView
from ..manifests.manifest import EpisodeRow, Manifest
from ..manifests.run_info import RunInfo
from ..media.images import ImageDecoder
from ..media.settings import VideoSettings
from .camera_check import CameraCheck
from .stages import CONVERT, stage_steps, workspace_of

MAX_PROBLEMS = 20  # kept; the rest is only counted

# Episodes compared so far, and in all.
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """One way in which a dataset differs from its source.

    Attributes:
        episode: Number of the episode in the dataset, None if it is not there.
        source: File and key it comes from.
        feature: The feature, empty if it is about the episode as a whole.
        row: First row of the episode that differs, None if it is about all of them.
        message: What was found.
    """

    episode: int | None
    source: str
    feature: str
    row: int | None
    message: str

    @property
    def where(self) -> str:
        """The place in words."""
        episode = "no episode" if self.episode is None else f"episode {self.episode}"
        row = "" if self.row is None else f"row {self.row}"
        return ", ".join(filter(None, (f"{episode} ({self.source})", self.feature, row)))


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What the comparison came to.

    Attributes:
        problems: The first 20.
        n_problems: Number of all; each is one feature of one episode.
        episodes: Episodes compared.
        frames: Video frames compared.
        foreign: Episodes of the dataset that come from another run, which were not compared.
    """

    problems: tuple[SourceProblem, ...]
    n_problems: int
    episodes: int
    frames: int
    foreign: int

    @property
    def ok(self) -> bool:
        """True if no difference was found."""
        return not self.n_problems


def check_source(
    dataset: Path, run_dir: Path, *, deep: bool = False, progress: Progress = lambda done, total: None
) -> SourceReport:
    """Compare a dataset with the HDF5 files that a run made it from.

    Vectors, texts and pictures must be equal after the cast to the stored dtype; of each video the
    first frame, the last and three between must show their source within what the encoder loses.

    Args:
        dataset: Folder of the dataset.
        run_dir: The run directory.
        deep: Compare every frame of every video.
        progress: Called after each episode.

    Raises:
        UsageError: If `run_dir` is no finished run, or the dataset does not come from it.
        Damaged: If the tables that lead to the episodes cannot be read.
    """
    workspace = workspace_of(run_dir)
    if not workspace.report.exists():
        raise UsageError(
            str(run_dir),
            "this run is not finished",
            "the run directory of a complete dataset",
            f"robotrove run {workspace.pipeline} --run-dir {run_dir}",
        )
    check = _Check(DatasetView(dataset), workspace, deep)
    kept: list[SourceProblem] = []
    count = 0
    for problem in check.problems(progress):
        count += 1
        if count <= MAX_PROBLEMS:
            kept.append(problem)
    return SourceReport(tuple(kept), count, check.episodes, check.cameras.frames, check.foreign)


@dataclass(frozen=True, slots=True)
class _Pair:
    """An episode of the dataset and the row of the manifest that it comes from."""

    stored: StoredEpisode
    origin: Origin
    row: EpisodeRow


class _Check:
    def __init__(self, view: DatasetView, workspace: Workspace, deep: bool) -> None:
        self.episodes = 0
        self.foreign = 0
        self._view = view
        self._workspace = workspace
        self._run = RunInfo.read(workspace.run)
        self._blocks: list[Any] = list(stage_steps(workspace, CONVERT))
        writer = self._blocks[-1]
        video = writer.video if isinstance(writer, ShardWriter) else None
        self.cameras = CameraCheck(video or VideoSettings(), view.fps, deep=deep)
        self._features = {key: feature for key, feature in view.features.items() if key not in DEFAULT_FEATURES}

    def problems(self, progress: Progress) -> Iterator[SourceProblem]:
        reader = self._blocks[0]
        if not isinstance(reader, Hdf5Reader):
            raise UsageError(str(self._workspace.pipeline), "its source cannot be opened again", "hdf5_reader")
        total = len(self._view.lengths)
        pairs = yield from self._pairs()
        for path, group in groupby(pairs, key=lambda pair: pair.row.path):
            yield from self._file(reader, Path(path), list(group), lambda: progress(self.episodes, total))

    def _pairs(self) -> Iterator[SourceProblem] | Any:
        """Find the manifest row of each episode; yield what is there twice, or not at all."""
        refused = {(line["source"], line["key"]) for line in map(json.loads, self._workspace.rejected.open())}
        rows = {
            (row.source, row.key): row
            for row in Manifest.read(self._workspace.manifest).rows
            if (row.source, row.key) not in refused
        }
        pairs: list[_Pair] = []
        seen: dict[tuple[str, str], int] = {}
        for stored, origin in zip(stored_episodes(self._view), origins(self._view), strict=True):
            name = (origin.source_name, origin.source_key)
            if origin.run_digest != self._run.digest:
                self.foreign += 1
            elif name in seen:
                yield SourceProblem(stored.index, origin.label, "", None, f"is the source of episode {seen[name]} too")
            elif name not in rows:
                yield SourceProblem(stored.index, origin.label, "", None, "the run did not keep such an episode")
            else:
                seen[name] = stored.index
                pairs.append(_Pair(stored, origin, rows[name]))
        if not pairs:
            raise UsageError(
                str(self._view.root), f"does not come from the run {self._workspace.run_dir}", "the run's own dataset"
            )
        for name in rows.keys() - seen.keys():
            yield SourceProblem(None, rows[name].label, "", None, "the run kept it, but it is not in the dataset")
        return pairs

    def _file(
        self, reader: Hdf5Reader, path: Path, pairs: list[_Pair], on_episode: Callable[[], None]
    ) -> Iterator[SourceProblem]:
        waiting = {pair.row.index: pair for pair in pairs}
        stream: Any = reader.episodes(path, [pair.row for pair in pairs])
        for step in self._blocks[1:-1]:
            stream = step.run(stream)
        rows = StoredRows(self._view)
        for ep in stream:
            pair = waiting.pop(ep.metadata["row"].index)
            yield from self._guarded(ep, pair, rows)
            self.episodes += 1
            on_episode()
        rows.close()
        for pair in waiting.values():
            yield _about(pair, "a step of the pipeline now drops it")
