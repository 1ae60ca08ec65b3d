"""Replay check: vectors of a dataset taken back to the recordings, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import Damaged, UsageError
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...verification.source.recordings import Problems, Recordings, SourceEpisodes, SourceProblem
from ...verification.source.source_check import Progress
from .episode_replay import ACTION, EpisodeReplay, Undo


@dataclass(frozen=True, slots=True)
class ReplayedColumn:
    """Comparison of a feature with its recording.

    Attributes:
        exact: Entries that must be equal.
        rounded: Entries with changed units: they must agree within the rounding of float32.
        not_compared: Entries of the recording that the dataset does not have.
        largest_difference: Of the entries with changed units, in the units of the recording; NaN and infinity aside.
    """

    exact: tuple[str, ...]
    rounded: tuple[str, ...]
    not_compared: tuple[str, ...]
    largest_difference: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Result of the comparison of actions with the recordings.

    Attributes:
        problems: The first 20.
        n_problems: Number of all; each is about one entry of one episode, or one file.
        episodes: Episodes compared.
        rows: Rows compared.
        columns: Feature to how it was compared.
        added: Features that were not compared, because steps added them or an edit renamed them.
        foreign: Episodes of the dataset that come from another run, which were not compared.
    """

    problems: tuple[SourceProblem, ...]
    n_problems: int
    episodes: int
    rows: int
    columns: Mapping[str, ReplayedColumn]
    added: tuple[str, ...]
    foreign: int

    @property
    def ok(self) -> bool:
        """True if no difference was found."""
        return not self.n_problems


def check_replay(
    dataset: Path, recordings: Recordings, *, progress: Progress = lambda done, total: None
) -> ReplayReport:
    """Take the vectors of a dataset back to the order and the units of the recordings, and compare.

    Nothing of the forward way is run: order and selection are undone by joint name, units by the
    inverse formula, and the rows are those that the dataset's own provenance names. What was only
    ordered or passed through must be equal; where units were changed, the difference must be one that
    rounding explains (`MotorUnits` and `Scaled` give the bound). Texts that pass through must be equal
    too. Episodes that are missing in the dataset are for `check_source` to find.

    Args:
        dataset: Folder of the dataset, of either version.
        recordings: Those of the run, see `finished_run`.
        progress: Told after each episode.

    Raises:
        UsageError: If a step of the pipeline has no inverse, or the dataset has no action or does not come from
            the run.
    """
    problems = Problems()
    try:
        return _compared(open_dataset(dataset), recordings, problems, progress)
    except Damaged as exc:
        problems.note(SourceProblem.of_tables(exc))
        return ReplayReport(tuple(problems.kept), problems.count, 0, 0, {}, (), 0)


def _compared(dataset: Dataset, recordings: Recordings, problems: Problems, progress: Progress) -> ReplayReport:
    sources = SourceEpisodes(dataset, recordings)
    undo = Undo(recordings.steps, sources.features, recordings.run_dir)
    if ACTION not in undo.stored:
        found = f"has no feature {ACTION!r} with this name in the run"
        raise UsageError(str(dataset.root), found, "a dataset of actions", "remove --replay")
    pairs = sources.pairs(lambda problem: None)
    check = EpisodeReplay(dataset, undo)
    episodes = rows = 0
    for ep, pair in sources.opened(pairs, problems.note):
        for feature, row, message in check.differences(ep, pair):
            problems.note(pair.problem(message, feature, row))
        episodes += 1
        rows += pair.stored.length
        progress(episodes, len(pairs))
    columns = {
        key: ReplayedColumn(way.exact, way.converted, way.missing, check.largest.get(key, 0.0))
        for (key, _), way in undo.ways.items()
    }
    return ReplayReport(tuple(problems.kept), problems.count, episodes, rows, columns, check.added, sources.foreign)
