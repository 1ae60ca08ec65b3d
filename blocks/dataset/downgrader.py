"""downgrader: shards or datasets to one dataset of version 2.1, a file per episode, frame-exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ...core.commit import files_attempt
from ...core.errors import UsageError, option
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_info import DatasetInfo
from ...formats.lerobot.datasets.episode_location import EpisodeLocation, EpisodeMetadata
from ...formats.lerobot.time_limits import is_too_long_for_v21
from ...formats.lerobot.writers import writer_v21
from ...formats.lerobot.writers.dataset_plan import DatasetPlan, PlacedEpisode, TaskTable
from ...formats.lerobot.writers.file_planner import PlannedFile
from ...formats.lerobot.writers.kept_files import check_columns
from ...media.encode.settings import VideoSettings
from ...media.remux.concat import split
from ...media.remux.video_index import prove
from .dataset_maker import DatasetMaker, Planner

BATCH_EPISODES = 64  # files synced together: one by one that would take longer than writing them


class Downgrader(DatasetMaker):
    """Merges shards or datasets, in order, into one dataset of version 2.1.

    Packets are copied if an episode begins at a keyframe and its groups of pictures are closed; other
    clips are re-encoded.

    Args:
        datasets: LeRobot datasets of version 3.0 or 2.1; the run's shards by default.
        reference_exact: Write rows in the order and the types of Isaac Lab Arena's converter, with times in float64.
        allow_long: Keep episodes that LeRobot 0.3.3 cannot load, because their times do not fit into float32.
        video: Quality of re-encoded clips; codec and pixel format stay those of the clip.
    """

    name = "downgrader"
    makes = "v2.1"

    def __init__(
        self,
        *,
        datasets: list[str] | None = None,
        reference_exact: bool = False,
        allow_long: bool = False,
        video: VideoSettings | None = None,
    ) -> None:
        super().__init__(datasets=datasets, video=video)
        self.reference_exact = reference_exact
        self.allow_long = allow_long

    def planner(self, facts: DatasetInfo) -> Planner:
        """Return a fresh planner."""
        return writer_v21.UnitPlanner(facts.camera_keys)

    def check_columns(self, base: Dataset) -> None:
        """Refuse to append to a dataset with other columns than new data files get."""
        check_columns(base, writer_v21.row_schema(DatasetInfo.of_dataset(base), reference_exact=self.reference_exact))

    def admit(self, location: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return the episode as it is.

        Raises:
            UsageError: If LeRobot could not load it; a run leaves such episodes out while it is planned.
        """
        fps = self.facts.fps
        if not self.allow_long and is_too_long_for_v21(location.length, fps):
            raise UsageError(
                f"{source.root}, episode {location.index}",
                f"lasts {location.length / fps:.0f} s: LeRobot 0.3.3 refuses it, since float32 cannot hold its times",
                "episodes of at most 1,024 s",
                f"{option('allow-long')} (downgrader: {{allow_long: true}}) for other readers",
            )
        self._anew.update(key for key, track in location.tracks.items() if not track.is_copyable)
        return location

    def targets(self, unit: PlannedFile) -> Iterator[Path]:
        """Yield a file per episode."""
        return (self.root / writer_v21.episode_path(unit.key, episode) for episode in range(unit.first, unit.last))

    def write(self, unit: PlannedFile, episodes: Iterator[PlacedEpisode], plan: DatasetPlan) -> None:
        """Write the files of a run of episodes."""
        todo = [(e, t) for e, t in zip(episodes, self.targets(unit), strict=True) if not t.exists()]
        copied = []
        for placed, target in todo:
            track = placed.location.tracks[unit.key] if unit.key else None
            if track is None or track.is_copyable:
                copied.append((placed, target))
            else:
                self.encode_anew(track, track.encoding, target)
        batches = iter(copied)
        while batch := list(islice(batches, BATCH_EPISODES)):
            self._write_batch(batch, unit.key, plan)

    def _write_batch(self, batch: Sequence[tuple[PlacedEpisode, Path]], key: str, plan: DatasetPlan) -> None:
        """Write files aside, prove them, sync them together, and give each its name."""
        with files_attempt([target for _, target in batch], self.root) as written:
            files = [(placed, path) for (placed, _), path in zip(batch, written, strict=True)]
            if key:
                split([(placed.location.tracks[key].clip, path) for placed, path in files], self.facts.fps)
                for placed, path in files:
                    prove(path, placed.location.length, self.facts.fps)
            else:
                tasks = TaskTable(plan.tasks)
                rows = writer_v21.placed_rows(
                    self.facts, tasks, plan.source_tasks, reference_exact=self.reference_exact
                )
                writer_v21.write_rows(files, rows)
                rows.close()

    def write_meta(
        self, out: Path, episodes: Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetadata]], plan: DatasetPlan
    ) -> None:
        """Write meta/ but info.json."""
        tasks = TaskTable(plan.tasks)
        writer_v21.write_meta(out, episodes, self.facts, tasks, plan.source_tasks, self.sources.histograms())

    def write_info(self, out: Path, facts: DatasetInfo, plan: DatasetPlan) -> None:
        """Write info.json."""
        writer_v21.write_info(
            self.root,
            out,
            facts,
            episodes=plan.episodes,
            frames=plan.frames,
            tasks=len(plan.tasks),
            reference_exact=self.reference_exact,
        )
