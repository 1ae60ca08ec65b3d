"""aggregator: shards or datasets to one dataset of version 3.0, planned first, each byte written once."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ...core.errors import UsageError, option
from ...core.source_file import PathText
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit
from ...formats.lerobot.datasets.dataset_info import DatasetInfo
from ...formats.lerobot.datasets.episode_location import EpisodeLocation, Track
from ...formats.lerobot.writers.dataset_plan import VersionWriter, read_episodes
from ...formats.lerobot.writers.writer_v30 import WriterV30
from ...media.encode.settings import VideoSettings
from ...media.remux.clip import Encoding
from .dataset_maker import Annotations, DatasetMaker, OnDuplicate, Times


class Aggregator(DatasetMaker):
    """Merges shards or datasets, in order, into one dataset of version 3.0.

    Args:
        datasets: LeRobot datasets of version 3.0 or 2.1; the run's shards by default.
        on_mismatch: Effect of a clip with another encoding than the first dataset's, or without a keyframe at its
            beginning: "refuse" stops the run, "reencode" re-encodes the clip like the first dataset.
        video: Quality of re-encoded clips; codec and pixel format are those of the first dataset.
        annotations: Columns of integers that are in doubt: "tasks" if they hold numbers of tasks, "values" if not.
        on_duplicate: Effect of an episode that a dataset before has too: "refuse" stops the run, "skip" rejects it,
            "keep" takes it.
        times: Effect of other times in rows than frame_index / fps, such as those of a clock: "refuse" stops the run,
            "index" writes frame_index / fps.
        edit: Changes to the only dataset of `datasets`: drop, keep, tasks, rename_features, drop_features, robot_type.
    """

    name = "aggregator"
    makes = "v3.0"

    def __init__(
        self,
        *,
        datasets: list[PathText] | None = None,
        on_mismatch: Literal["refuse", "reencode"] = "refuse",
        video: VideoSettings | None = None,
        annotations: Annotations | None = None,
        on_duplicate: OnDuplicate = "refuse",
        times: Times = "refuse",
        edit: DatasetEdit | None = None,
    ) -> None:
        super().__init__(
            datasets=datasets,
            video=video,
            annotations=annotations,
            on_duplicate=on_duplicate,
            times=times,
            edit=edit,
        )
        self.on_mismatch = on_mismatch
        self._reference: dict[str, Encoding] = {}

    def writer(self, info: DatasetInfo) -> VersionWriter:
        """Return the writer of v3.0."""
        return WriterV30(info)

    def admit(self, location: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return the episode with a mark on every clip that must be re-encoded.

        Raises:
            UsageError: If there is one and that is not allowed, or its frames are of another size.
        """
        differing = {}
        for key, track in location.tracks.items():
            where = f"{source.root}, episode {location.index}, {key}"
            self._check_size(key, track, where)
            problem = self._problem(key, track)
            if problem and self.info.features[key].is_depth:
                raise UsageError(
                    where,
                    f"{problem}; re-encoding would change depth",
                    "clips of depth as LeRobot records them, with codec and pixel format of the first dataset",
                    "remove the dataset, or record it again",
                )
            if problem and self.on_mismatch == "refuse" and not track.is_shortened:
                raise UsageError(
                    where,
                    problem,
                    "clips with packets that can be copied",
                    "aggregator: {on_mismatch: reencode} (robotrove aggregate --on-mismatch reencode), and "
                    f"{option('fresh')}",
                )
            if problem:
                differing[key] = replace(track, is_copyable=False)
        return replace(location, tracks={**location.tracks, **differing}) if differing else location

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

    def encoding_like(self, track: Track, key: str) -> Encoding | None:
        """Return the encoding of the first episode."""
        (first,) = read_episodes(self.folder, 0, 1, key=key)
        return first.location.tracks[key].encoding


def _text(encoding: Encoding) -> str:
    return f"{encoding.codec} of {encoding.width}x{encoding.height} in {encoding.pix_fmt}"
