"""shard_writer: episodes into shards, one per rank, each a LeRobot v3.0 dataset of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from ...core.checksums import sums_below
from ...core.commit import folder_attempt
from ...core.episode import Episode
from ...core.errors import EpisodeRejected, RobotroveError, Superseded, of_episode
from ...core.features import difference, named_like
from ...formats.lerobot.datasets.dataset_info import DatasetInfo
from ...formats.lerobot.datasets.dataset_stats import histograms
from ...formats.lerobot.datasets.episode_location import EpisodeRecord
from ...formats.lerobot.datasets.shard_dataset import ShardDataset
from ...formats.lerobot.writers.episode_folder import read_episode, write_episode
from ...formats.lerobot.writers.writer_v30 import write_dataset
from ...manifests.events import Journal
from ...manifests.manifest import EpisodeRow, Manifest
from ...manifests.shard import KeptEpisode, RejectedEpisode, Shard
from ...manifests.shard_progress import ShardProgress
from ...media.encode.settings import VideoSettings
from ..binding import Bound, cpus


class EpisodeWriter(Bound, PipelineStep, ABC):
    """Writes one episode at a time; bad data cost that episode and nothing else."""

    type = "💾 - WRITER"
    role = "writer"

    @abstractmethod
    def write(self, ep: Episode, row: EpisodeRow, progress: ShardProgress) -> int:
        """Commit one episode and return the number of frames encoded; raise EpisodeRejected for bad data."""

    @abstractmethod
    def finish(self, rank: int, progress: ShardProgress, seen: Collection[int]) -> None:
        """Commit the shard once every episode of it is committed or rejected.

        Args:
            rank: Number of the shard.
            progress: What is committed of it.
            seen: Manifest rows that were committed before, or came to this writer: none of them may be missing now.
        """

    def run(self, data: Iterable[Episode], rank: int = 0, world_size: int = 1) -> Iterator[Episode]:
        """Write every episode of the rank, then the shard; what is committed already is left as it is."""
        workspace = self.binding.workspace
        progress = ShardProgress(workspace, rank)
        if not progress.committed:
            progress.folder.mkdir(parents=True, exist_ok=True)
            journal = Journal(workspace.events)
            try:
                if not progress.committed:  # still: else another process has just removed the folder that we made
                    rows = {row.index: row for row in Manifest.read(workspace.manifest, shard=rank).rows}
                    seen = {index for index in rows if progress.is_done(index)} | progress.kept_before()
                    for ep in data:
                        ep.note_writer()
                        seen.add(ep.origin.row)
                        self._write_one(ep, rows[ep.origin.row], progress, journal)
                        yield ep
                    self.finish(rank, progress, seen)
            except Exception as exc:  # whatever goes wrong in a folder that another process has removed
                if not progress.committed:
                    raise
                logger.warning(f"{Superseded(f'shard {rank}')} ({exc})")
        # Also what an attempt that lost, or was killed between rename and removal, left behind.
        progress.clear()

    def _write_one(self, ep: Episode, row: EpisodeRow, progress: ShardProgress, journal: Journal) -> None:
        if ep.rejection is None:
            try:
                journal.note("started", row.index)
                frames = self.write(ep, row, progress)
                journal.note("committed", row.index, frames)
                self.stat_update("committed")
                logger.info(f"{row.label}: {ep.length} frames committed")
                return
            except Exception as exc:
                if progress.committed:  # an error in a folder that another process has removed
                    raise
                refused = of_episode(exc, "writing it")
                ep.reject(refused.reason, refused.detail, error=True)
        rejection = ep.rejection
        assert rejection is not None
        if rejection.error and self.binding.run.on_error == "stop":
            raise EpisodeRejected(rejection.reason, f"{row.label}: {rejection.detail} (on_error: stop)")
        progress.reject(row.index, rejection)
        journal.note("rejected", row.index)
        self.stat_update(f"rejected_{rejection.reason}")
        logger.warning(f"{row.label} rejected: {rejection.reason}: {rejection.detail}")


class ShardWriter(EpisodeWriter):
    """Encodes each episode into its own folder, then merges them into the shard without re-encoding.

    Args:
        robot_type: Name of the robot in info.json.
        video: Settings of the video encoder; LeRobot's own by default.
    """

    name = "shard_writer"

    def __init__(self, *, robot_type: str | None = None, video: VideoSettings | None = None) -> None:
        super().__init__()
        self.robot_type = robot_type
        self.video = video

    def write(self, ep: Episode, row: EpisodeRow, progress: ShardProgress) -> int:
        """Encode, check and commit one episode."""
        run = self.binding.run
        if notes := difference(run.features, named_like(run.features, ep.features)):
            raise EpisodeRejected("feature_mismatch", f"differs from the dataset: {notes}")
        if ep.fps != run.fps:
            raise EpisodeRejected("fps_mismatch", f"has {ep.fps} fps, the dataset {run.fps}")
        provenance = {
            "source_name": row.source,
            "source_key": row.key,
            "source_digest": row.digest,
            "source_length": row.source_length,
            "first_row": ep.row_map.first,
            "last_row": ep.row_map.last,
            "row_runs": None if ep.row_map.is_span else ep.row_map.runs,
            "success": ep.success,
            "fps_assumed": ep.origin.fps_source == "default",
            "run_digest": run.digest,
            "robotrove_version": run.version,
            "encoder_version": run.encoder,
            "code_digest": run.spec_digest if run.accepted_code else None,
        }
        with folder_attempt(progress.episode(row.index)) as folder:
            frames = write_episode(
                ep,
                folder,
                index=row.index,
                features=run.features,
                video=self.video or VideoSettings(),
                provenance=provenance,
                cpus=cpus(),
            )
            ep.check_source()
        return frames

    def finish(self, rank: int, progress: ShardProgress, seen: Collection[int]) -> None:
        """Join the committed episodes into the shard.

        Raises:
            RobotroveError: If one is missing, though it was committed.
        """
        info = DatasetInfo.of_run(self.binding.run)
        earlier: dict[int, EpisodeRecord] = {}
        counts: list[Mapping[str, Any]] = []
        if progress.previous:
            before = ShardDataset(progress.previous)
            earlier = {record.index: record for record in before.records()}
            if earlier:  # a shard with nothing kept has no histograms
                counts.append(histograms(before))
        records: list[EpisodeRecord] = []
        rejected: list[RejectedEpisode] = []
        for row in Manifest.read(self.binding.workspace.manifest, shard=rank).rows:
            if row.index in earlier:
                records.append(earlier[row.index])
            elif progress.episode(row.index).exists():
                records.append(read_episode(progress.episode(row.index)))
                counts.append(records[-1].histograms)
            elif rejection := progress.rejected(row.index):
                rejected.append(rejection)
            elif row.index in seen or not self.binding.run.may_drop:
                why = "it was committed, and its files are missing or damaged by now"
                if row.index not in seen:
                    why = "it did not come to the writer, and no step is a filter of datatrove, which may drop it"
                resume = self.binding.workspace.resume
                raise RobotroveError(f"shard {rank}, {row.label}", f"lost_episode: {why}", "each episode", resume)
            else:
                why = "a step of the pipeline dropped it"
                rejected.append(RejectedEpisode(row.index, "dropped_by_step", why, error=False))
        cameras = counts[0].keys() if counts else ()
        sums = {key: np.sum([np.asarray(h[key], dtype=np.int64) for h in counts], axis=0) for key in cameras}
        kept = [_kept(record) for record in records]
        pixels = {key: value.tolist() for key, value in sums.items()}
        with folder_attempt(progress.target, beside=progress.folder) as folder:
            if records:
                write_dataset(folder, records, info, sums)
            # Read once more, from memory as a rule: `copy_file_range` never shows the bytes of packets that are copied.
            shard = Shard(rank, kept, rejected, sums_below(folder), pixels)
            shard.write(folder)
        logger.info(f"shard {rank}: {len(kept)} episodes, {shard.frames} frames, {len(rejected)} rejected")


def _kept(record: EpisodeRecord) -> KeptEpisode:
    location, sizes = record.location, dict(record.location.sizes)
    return KeptEpisode(record.index, location.length, sizes.pop(""), sizes)
