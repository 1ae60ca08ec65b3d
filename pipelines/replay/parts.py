"""The episodes to export for a replay, each with its way back and what it begins like."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from ...blocks.inverse import WayBack
from ...core.errors import Damaged, RobotroveError, UsageError
from ...formats.lerobot.datasets.dataset import DatasetView
from ...formats.lerobot.datasets.episode_location import StoredEpisode
from ...formats.lerobot.datasets.provenance import origins
from ...formats.lerobot.datasets.row_reader import stored_episodes
from ...verification.source.source_check import Pair, SourceEpisodes, SourceProblem
from ..finished_run import finished_run
from .episode import ACTION
from .undo import Undo


@dataclass(frozen=True, slots=True)
class Part:
    """An episode to write.

    Attributes:
        stored: The episode.
        success: The recorder's label, None if it is not known.
        way: How its actions go back.
        pair: The recording that it is to begin like, None for none.
    """

    stored: StoredEpisode
    success: bool | None
    way: WayBack
    pair: Pair | None


def of_robot(view: DatasetView, way: WayBack, chosen: Collection[int]) -> Iterator[Part]:
    """Yield chosen episodes of a dataset, all with the same way back and none with a recording.

    Raises:
        Damaged: If the dataset cannot be read.
    """
    is_labelled = (view.root / view.provenance_path).is_file()
    known = origins(view, view.provenance_path) if is_labelled else ()
    for stored, origin in zip_longest(stored_episodes(view), known):
        if stored is None or (is_labelled and origin is None):
            raise Damaged(view.provenance_path, "has not one row per episode")
        if stored.index in chosen:
            yield Part(stored, origin.success if origin else None, way, None)


def of_run(view: DatasetView, run_dir: Path, chosen: Collection[int]) -> Iterator[Part]:
    """Yield chosen episodes of a dataset, each with the recording that a run made it from.

    Raises:
        UsageError: If one of them does not come from the run, or a step has no inverse; see `SourceEpisodes`.
        RobotroveError: If a recording is gone or changed.
    """
    recordings = finished_run(run_dir)
    sources = SourceEpisodes(view, recordings)
    undo = Undo(recordings.steps, view.features, run_dir)
    pairs = [pair for pair in sources.pairs(lambda problem: None) if pair.stored.index in chosen]
    if strange := sorted(set(chosen) - {pair.stored.index for pair in pairs}):
        raise UsageError(
            str(view.root),
            f"{len(strange)} episode(s) do not come from the run in {run_dir} (first: {strange[0]})",
            "episodes of that run",
            "choose those with --episodes, or leave out --source",
        )
    for ep, pair in sources.opened(pairs, _raise):
        if ep.rejection is not None or ACTION not in ep.columns:
            why = f"{ep.rejection.reason}: {ep.rejection.detail}" if ep.rejection else f"has no {ACTION}"
            raise RobotroveError(pair.origin.label, why, "the recording as it was converted")
        way = undo.way(ACTION, ep.columns[ACTION].feature)
        if way.width > view.features[ACTION].shape[0]:
            raise UsageError(
                str(view.root), f"{ACTION} has other entries than the run gave it", "the dataset of the run"
            )
        yield Part(pair.stored, pair.origin.success, way, pair)


def _raise(problem: SourceProblem) -> None:
    raise RobotroveError(problem.where, problem.message, "the recordings of the run", "leave out --source")
