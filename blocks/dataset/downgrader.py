"""downgrader: shards or datasets to one dataset of version 2.1, a file per episode, frame-exact."""

from __future__ import annotations

import shlex

from ...core.errors import UsageError
from ...core.features import Features
from ...core.source_file import PathText
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit
from ...formats.lerobot.datasets.dataset_info import DatasetInfo
from ...formats.lerobot.datasets.episode_location import EpisodeLocation, Track
from ...formats.lerobot.features.feature_kind import kind_of
from ...formats.lerobot.gr00t.gr00t_stats import write_gr00t_stats
from ...formats.lerobot.time_limits import is_too_long_for_v21
from ...formats.lerobot.writers.dataset_plan import VersionWriter
from ...formats.lerobot.writers.writer_v21 import WriterV21
from ...media.encode.settings import VideoSettings
from ...media.remux.clip import Encoding
from .dataset_maker import Annotations, DatasetMaker, OnDuplicate, Times


class Downgrader(DatasetMaker):
    """Merges shards or datasets, in order, into one dataset of version 2.1.

    Packets are copied if an episode begins at a keyframe and its groups of pictures are closed; other
    clips are re-encoded.

    Args:
        datasets: LeRobot datasets of version 3.0 or 2.1; the run's shards by default.
        reference_exact: Write rows in the order and the types of Isaac Lab Arena's converter, with times in float64.
        allow_long: Keep episodes that LeRobot 0.3.3 cannot load, because their times do not fit into float32.
        video: Quality of re-encoded clips; codec and pixel format stay those of the clip.
        annotations: Columns of integers that are in doubt: "tasks" if they hold numbers of tasks, "values" if not.
        on_duplicate: Effect of an episode that a dataset before has too: "refuse" stops the run, "skip" rejects it,
            "keep" takes it.
        times: Effect of other times in rows than frame_index / fps, such as those of a clock: "refuse" stops the run,
            "index" writes frame_index / fps.
        edit: Changes to the only dataset of `datasets`: drop, keep, tasks, rename_features, drop_features, robot_type.
    """

    name = "downgrader"
    makes = "v2.1"

    def __init__(
        self,
        *,
        datasets: list[PathText] | None = None,
        reference_exact: bool = False,
        allow_long: bool = False,
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
        self.reference_exact = reference_exact
        self.allow_long = allow_long

    def check_features(self, features: Features) -> None:
        """Refuse columns that v2.1 cannot hold.

        Raises:
            UsageError: Naming them, and what to do.
        """
        refused = [key for key, feature in features.items() if self.makes in kind_of(feature).refused_in]
        if refused:
            root = self.datasets[0] if self.datasets and len(self.datasets) == 1 else "DATASET"
            raise UsageError(
                ", ".join(refused),
                f"cannot be in a dataset of {self.makes}: its readers know neither depth nor annotations",
                "features that LeRobot 0.3.3 knows",
                "write v3.0 (robotrove aggregate), or remove them first, with LeRobot 0.6: lerobot-edit-dataset "
                f"--repo_id local --root {shlex.quote(root)} --new_root NEW --operation.type remove_feature "
                f'--operation.feature_names "{refused}"',
            )

    def writer(self, info: DatasetInfo) -> VersionWriter:
        """Return the writer of v2.1."""
        return WriterV21(info, self.reference_exact)

    def admit(self, location: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return the episode as it is.

        Raises:
            UsageError: If LeRobot could not load it; a run leaves such episodes out while it is planned.
        """
        fps = self.info.fps
        if not self.allow_long and is_too_long_for_v21(location.length, fps):
            raise UsageError(
                f"{source.root}, episode {location.index}",
                f"lasts {location.length / fps:.0f} s: LeRobot 0.3.3 refuses it, because float32 cannot hold its times",
                "episodes of at most 1,024 s",
                "downgrader: {allow_long: true} (robotrove convert --allow-long) for other readers",
            )
        return location

    def finish(self) -> None:
        """Write info.json; of an edited dataset also stats.json, if it has that file of GR00T's."""
        super().finish()
        if self.edit is not None and not self.binding.is_committed:
            with self.sources.named():
                if any((source.root / paths_v30.STATS).exists() for source in self.sources):
                    write_gr00t_stats(self.root)

    def encoding_like(self, track: Track, key: str) -> Encoding | None:
        """Return the clip's own encoding."""
        return track.encoding
