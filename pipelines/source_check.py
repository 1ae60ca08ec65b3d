"""Is a dataset what its sources say? Every kept episode is opened again, run through the steps and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from ..blocks.hdf5_reader import Hdf5Reader
from ..blocks.shard_writer import ShardWriter
from ..core.errors import UsageError
from ..core.workspace import Workspace
from ..formats.lerobot.arrow_rows import Damaged
from ..formats.lerobot.provenance import Origin, origins
from ..formats.lerobot.stored import StoredEpisode, stored_episodes
from ..formats.lerobot.view import DatasetView
from ..formats.lerobot.views import open_view
from ..manifests.manifest import EpisodeRow, Manifest
from ..manifests.run_info import RunInfo
from ..media.settings import VideoSettings
from .camera_check import CameraCheck
from .episode_check import EpisodeCheck
from .stages import CONVERT, stage_steps, workspace_of

MAX_PROBLEMS = 20  # kept; the rest is only counted

# Called with the episodes compared so far, and those in all.
Progress: TypeAlias = Callable[[int, int], None]


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

    @property
    def where(self) -> str:
        """The place in words."""
        episode = self.source if self.episode is None else f"episode {self.episode} ({self.source})"
        row = "" if self.row is None else f"row {self.row}"
        return ", ".join(filter(None, (episode, self.feature, row)))


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What the comparison came to.

    Attributes:
        problems: The first 20.
        n_problems: Number of all; each is about one feature of one episode, or one file.
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
        progress: Told after each episode.

    Raises:
        UsageError: If `run_dir` is no finished run, or the dataset does not come from it.
    """
    workspace = workspace_of(run_dir)
    if not workspace.report.exists():
        raise UsageError(
            str(run_dir),
            "this run is not finished",
            "the run directory of a complete dataset",
            f"robotrove run {workspace.pipeline} --run-dir {run_dir}",
        )
    if not workspace.manifest.exists():
        raise UsageError(
            str(run_dir),
            "this run took its episodes from datasets, so there is no recording to compare with",
            "the run directory of a conversion",
            "leave out --source",
        )
    try:
        return _Comparison(open_view(dataset), workspace, deep).run(progress)
    except Damaged as exc:  # of the tables that lead to the episodes
        return SourceReport((SourceProblem(None, exc.where, "", None, exc.message),), 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Pair:
    """An episode of the dataset, its provenance, and the row of the manifest that it comes from."""

    stored: StoredEpisode
    origin: Origin
    row: EpisodeRow


class _Comparison:
    def __init__(self, view: DatasetView, workspace: Workspace, deep: bool) -> None:
        self._view = view
        self._workspace = workspace
        self._problems: list[SourceProblem] = []
        self._n_problems = 0
        self._episodes = 0
        self._foreign = 0
        blocks: list[Any] = list(stage_steps(workspace, CONVERT))
        self._reader, *self._steps, writer = blocks
        video = writer.video if isinstance(writer, ShardWriter) else None
        self._cameras = CameraCheck(video or VideoSettings(), view.fps, deep=deep)

    def run(self, progress: Progress) -> SourceReport:
        if not isinstance(self._reader, Hdf5Reader):
            raise UsageError(str(self._workspace.pipeline), "its source cannot be opened again", "hdf5_reader")
        pairs = self._pairs()
        for path, group in groupby(pairs, key=lambda pair: pair.row.path):
            self._file(self._reader, Path(path), list(group), lambda: progress(self._episodes, len(pairs)))
        return SourceReport(
            tuple(self._problems), self._n_problems, self._episodes, self._cameras.frames, self._foreign
        )

    def _note(self, problem: SourceProblem) -> None:
        self._n_problems += 1
        if self._n_problems <= MAX_PROBLEMS:
            self._problems.append(problem)

    def _pairs(self) -> list[_Pair]:
        """Find the manifest row of each episode; note what is there twice, or not at all."""
        lines = self._workspace.rejected.read_text(encoding="utf-8").splitlines()
        rejected = {(line["source"], line["key"]) for line in map(json.loads, lines)}
        manifest = Manifest.read(self._workspace.manifest).rows
        rows = {(row.source, row.key): row for row in manifest if (row.source, row.key) not in rejected}
        digest = RunInfo.read(self._workspace.run).digest
        pairs: dict[tuple[str, str], _Pair] = {}
        for stored, origin in zip_longest(stored_episodes(self._view), origins(self._view)):
            if stored is None or origin is None:
                raise Damaged(self._view.provenance_path, "has not one row per episode")
            name = (origin.source_name, origin.source_key)
            if origin.run_digest != digest:
                self._foreign += 1
            elif name in pairs:
                text = f"episode {pairs[name].stored.index} comes from there too"
                self._note(SourceProblem(stored.index, origin.label, "", None, text))
            elif name not in rows:
                self._note(SourceProblem(stored.index, origin.label, "", None, "the run kept no such episode"))
            else:
                pairs[name] = _Pair(stored, origin, rows[name])
        if not pairs:
            found = f"does not come from the run in {self._workspace.run_dir}"
            raise UsageError(str(self._view.root), found, "a dataset and the run directory that it was made in")
        for name, row in rows.items():
            if name not in pairs:
                self._note(
                    SourceProblem(None, row.label, "", None, "the run kept it, but the dataset does not have it")
                )
        return list(pairs.values())

    def _file(self, reader: Hdf5Reader, path: Path, pairs: list[_Pair], on_episode: Callable[[], None]) -> None:
        """Compare the episodes of one file."""
        stream: Any = reader.episodes(path, [pair.row for pair in pairs])
        for step in self._steps:
            stream = step.run(stream)
        check = EpisodeCheck(self._view, self._cameras)
        waiting = {pair.row.index: pair for pair in pairs}
        gone: list[_Pair] = []
        for ep in stream:
            pair = waiting.pop(ep.metadata["row"].index)
            if ep.rejection is not None and ep.rejection.reason == "source_changed":
                gone.append(pair)
            else:
                for where in check.differences(ep, pair.stored, pair.origin):
                    self._note(SourceProblem(pair.stored.index, pair.origin.label, *where))
                self._episodes += 1
            on_episode()
        check.close()
        if gone:
            state = "was changed since" if path.exists() else "is not there any more"
            text = f"{path} {state}: {len(gone)} episode(s) cannot be compared"
            self._note(SourceProblem(gone[0].stored.index, gone[0].origin.label, "", None, text))
        for pair in waiting.values():
            self._note(SourceProblem(pair.stored.index, pair.origin.label, "", None, "a step now drops it"))
