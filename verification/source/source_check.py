"""Source check: every episode of a dataset against its recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...core.errors import Damaged
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.open_dataset import open_dataset
from .camera_check import CameraCheck
from .episode_check import EpisodeCheck
from .recordings import Problems, Recordings, SourceEpisodes, SourceProblem

# Called with the episodes compared so far, and those in all.
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """Result of the comparison of episodes with their recordings.

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
    dataset: Path, recordings: Recordings, *, deep: bool = False, progress: Progress = lambda done, total: None
) -> SourceReport:
    """Compare a dataset with the HDF5 files that a run made it from.

    Vectors, texts and pictures must be equal after the cast to the stored dtype; of each video the
    first frame, the last and three between must show their source within what the encoder loses.

    Args:
        dataset: Folder of the dataset.
        recordings: Those of the run, see `finished_run`.
        deep: Compare every frame of every video.
        progress: Told after each episode.

    Raises:
        UsageError: If the dataset does not come from the run.
    """
    try:
        return _compared(open_dataset(dataset), recordings, deep, progress)
    except Damaged as exc:
        return SourceReport((SourceProblem.of_tables(exc),), 1, 0, 0, 0)


def _compared(dataset: Dataset, recordings: Recordings, deep: bool, progress: Progress) -> SourceReport:
    sources = SourceEpisodes(dataset, recordings)
    cameras = CameraCheck(recordings.video, dataset.fps, deep=deep)
    check = EpisodeCheck(dataset, cameras)
    problems = Problems()
    pairs = sources.pairs(problems.note)
    episodes = 0
    for ep, pair in sources.opened(pairs, problems.note, recordings.steps):
        for feature, row, message in check.differences(ep, pair.stored, pair.origin):
            problems.note(pair.problem(message, feature, row))
        episodes += 1
        progress(episodes, len(pairs))
    return SourceReport(tuple(problems.kept), problems.count, episodes, cameras.frames, sources.foreign)
