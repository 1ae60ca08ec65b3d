"""aggregator: shards or datasets to one dataset of version 3.0, planned first, each byte written once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ...core.commit import file_attempt
from ...core.errors import UsageError, option
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_info import DatasetInfo
from ...formats.lerobot.datasets.episode_location import EpisodeLocation, EpisodeMetadata, Track
from ...formats.lerobot.features.feature_kind import data_schema
from ...formats.lerobot.writers.dataset_plan import DatasetPlan, PlacedEpisode, TaskTable, read_episodes
from ...formats.lerobot.writers.file_planner import DatasetPlanner, PlannedFile
from ...formats.lerobot.writers.kept_files import check_columns
from ...formats.lerobot.writers.writer_v30 import write_info, write_meta, write_planned_file
from ...media.encode.settings import VideoSettings
from ...media.remux.clip import Encoding
from ..dataset_step import Commit
from .dataset_maker import DatasetMaker, Planner


class Aggregator(DatasetMaker):
    """Merges shards or datasets, in order, into one dataset of version 3.0.

    Args:
        datasets: LeRobot datasets of version 3.0 or 2.1; the run's shards by default.
        on_mismatch: Effect of a clip with another encoding than the first dataset's, or without a keyframe at its
            beginning: "refuse" stops the run, "reencode" re-encodes the clip like the first dataset.
        video: Quality of re-encoded clips; codec and pixel format are those of the first dataset.
    """

    name = "aggregator"
    makes = "v3.0"

    def __init__(
        self,
        *,
        datasets: list[str] | None = None,
        on_mismatch: Literal["refuse", "reencode"] = "refuse",
        video: VideoSettings | None = None,
    ) -> None:
        super().__init__(datasets=datasets, video=video)
        self.on_mismatch = on_mismatch
        self._reference: dict[str, Encoding] = {}

    def planner(self, facts: DatasetInfo) -> Planner:
        """Return a fresh planner."""
        return DatasetPlanner(facts.camera_keys, facts.fps)

    def check_columns(self, base: Dataset) -> None:
        """Refuse to append to a dataset with other columns than new data files get."""
        check_columns(base, data_schema(DatasetInfo.of_dataset(base).features))

    def admit(self, location: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return the episode with a mark on every clip that must be re-encoded.

        Raises:
            UsageError: If there is one and that is not allowed, or its frames are of another size.
        """
        anew = {}
        for key, track in location.tracks.items():
            where = f"{source.root}, episode {location.index}, {key}"
            self._check_size(key, track, where)
            problem = self._problem(key, track)
            if problem and self.on_mismatch == "refuse":
                raise UsageError(
                    where,
                    problem,
                    "clips with packets that can be copied",
                    f"{option('fresh')} {option('on-mismatch', 'reencode')} (aggregator: {{on_mismatch: reencode}}) "
                    "re-encodes such clips",
                )
            if problem:
                self._anew[key] += 1
                anew[key] = replace(track, is_copyable=False)
        return replace(location, tracks={**location.tracks, **anew}) if anew else location

    def _check_size(self, key: str, track: Track, where: str) -> None:
        if track.encoding is None:  # of a shard of ours
            return
        first = self._reference.setdefault(key, track.encoding)
        if (track.encoding.width, track.encoding.height) != (first.width, first.height):
            raise UsageError(
                where,
                f"frames are {track.encoding.width}x{track.encoding.height}",
                f"{first.width}x{first.height}, as in the first episode",
                "remove the dataset, or reconvert its recordings (image_resizer)",
            )

    def _problem(self, key: str, track: Track) -> str:
        if not track.is_copyable:
            return "does not begin at a keyframe with a closed group of pictures"
        if track.encoding is None:
            return ""
        first = self._reference[key]
        is_like = track.encoding.is_like(first)
        return "" if is_like else f"is {_text(track.encoding)}, but the first dataset {_text(first)}"

    def targets(self, unit: PlannedFile) -> Iterator[Path]:
        """Yield the one file."""
        yield self.root / unit.path

    def write(self, unit: PlannedFile, episodes: Iterator[PlacedEpisode], plan: DatasetPlan) -> Commit:
        """Write one file of the output."""
        (target,) = self.targets(unit)
        if unit.key:
            episodes = (self._encoded_anew(placed, unit.key) for placed in episodes)
        with ExitStack() as stack:
            attempt = stack.enter_context(file_attempt(target))
            write_planned_file(attempt, unit, episodes, self.facts, TaskTable(plan.tasks), plan.source_tasks)
            return stack.pop_all().close  # syncs it and gives it its name

    def _encoded_anew(self, placed: PlacedEpisode, key: str) -> PlacedEpisode:
        """Return the episode with one camera's clip re-encoded if needed; that is done once, whatever happens."""
        if placed.location.tracks[key].is_copyable:
            return placed
        folder = self.folder / "encoded"
        folder.mkdir(exist_ok=True)
        camera = self.facts.camera_keys.index(key)
        target = folder / f"e{placed.index:07d}-{camera}.mp4"
        track = placed.location.tracks[key]
        if not target.exists():
            (first,) = read_episodes(self.folder, 0, 1, key=key)
            self.encode_anew(track, first.location.tracks[key].encoding, target)
        tracks = dict(placed.location.tracks) | {key: replace(track, clip=replace(track.clip, path=target, first=0))}
        return replace(placed, location=replace(placed.location, tracks=tracks))

    def write_meta(
        self, out: Path, episodes: Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetadata]], plan: DatasetPlan
    ) -> None:
        """Write meta/ but info.json and the statistics of the whole."""
        tasks = TaskTable(plan.tasks)
        histograms = self.sources.histograms()
        write_meta(out, episodes, self.facts, plan.files, tasks, plan.source_tasks, histograms)

    def write_info(self, out: Path, facts: DatasetInfo, plan: DatasetPlan) -> None:
        """Write info.json."""
        counts = {"episodes": plan.episodes, "frames": plan.frames, "tasks": len(plan.tasks)}
        write_info(self.root, out, facts, plan.files, **counts)


def _text(encoding: Encoding) -> str:
    return f"{encoding.codec} of {encoding.width}x{encoding.height} in {encoding.pix_fmt}"
