"""Episode check: an episode of a dataset against the same episode made from its recording."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...core.columns import Array
from ...core.episode import Episode, Rejection
from ...core.errors import RobotroveError
from ...core.features import DEFAULT_FEATURES, Feature, cameras, difference, named_like
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_info import marked, recorded_annotations
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.datasets.provenance import ProvenanceRow
from ...formats.lerobot.features.feature_kind import kind_of
from ...media.image.images import ImageDecoder
from .camera_check import OTHER_FRAME, CameraCheck


class EpisodeDifference(NamedTuple):
    """Difference of an episode from its source: feature (empty: the whole), first row, and message."""

    feature: str
    row: int | None
    message: str

    @classmethod
    def not_compared(cls, why: Rejection | RobotroveError, feature: str = "") -> EpisodeDifference:
        """Return the difference of an episode, or a feature of it, that cannot be read."""
        return cls(feature, None, f"cannot be compared: {' '.join(str(why).split())}")


class EpisodeCheck:
    """Compares episodes of one dataset with their sources.

    Args:
        dataset: The dataset.
        cameras: Compares videos.
    """

    def __init__(self, dataset: Dataset, cameras: CameraCheck) -> None:
        self._dataset = dataset
        self._cameras = cameras
        own = {key: feature for key, feature in dataset.features.items() if key not in DEFAULT_FEATURES}
        self._features = marked(own, recorded_annotations(dataset))

    @cached_property
    def _tasks(self) -> dict[str, int]:
        """The first number of each task of the dataset."""
        return {task: number for number, task in reversed([*enumerate(self._dataset.tasks)])}

    def differences(self, ep: Episode, stored: EpisodeLocation, origin: ProvenanceRow) -> Iterator[EpisodeDifference]:
        """Yield how a stored episode differs from what the pipeline makes of its source now.

        Args:
            ep: The source after all steps.
            stored: The same in the dataset.
            origin: What its provenance says.
        """
        if ep.rejection is not None:
            yield EpisodeDifference.not_compared(ep.rejection)
            return
        if notes := difference(self._features, named_like(self._features, ep.features)):
            yield EpisodeDifference("", None, f"the pipeline gives other features: {notes}")
            return
        yield from self._facts(ep, stored, origin)
        if ep.length != stored.length:
            yield EpisodeDifference("", None, f"{stored.length} frames in the dataset, {ep.length} in the source")
            return
        try:
            yield from self._vectors(ep, stored)
        except RobotroveError as exc:
            yield EpisodeDifference.not_compared(exc)
        for key in cameras(self._features):
            yield from self._camera(ep, stored, key)

    def _facts(self, ep: Episode, stored: EpisodeLocation, origin: ProvenanceRow) -> Iterator[EpisodeDifference]:
        if stored.tasks != tuple(dict.fromkeys(ep.tasks)):
            yield EpisodeDifference("task", None, _other_task(stored.tasks, ep.text))
        if ep.fps != self._dataset.fps:
            yield EpisodeDifference("timestamp", None, f"the dataset has {self._dataset.fps} fps, the source {ep.fps}")
        if ep.success != origin.success:
            yield EpisodeDifference(
                "", None, f"success is {origin.success} in the provenance, {ep.success} in the source"
            )
        if ep.row_map != origin.row_map:
            text = f"rows {origin.row_map} in the provenance, {ep.row_map} of the source are used"
            yield EpisodeDifference("", None, text)

    def _vectors(self, ep: Episode, stored: EpisodeLocation) -> Iterator[EpisodeDifference]:
        seen = cameras(self._features)
        kinds = {key: kind_of(feature) for key, feature in self._features.items() if key not in seen}
        expected = {key: kind.stored(ep[key]) for key, kind in kinds.items()}
        lookup = np.array([self._tasks.get(task, -1) for task in ep.tasks])  # its numbers are those of this dataset
        expected |= {key: lookup[expected[key]] for key, kind in kinds.items() if kind.feature.points_into}
        found: dict[str, EpisodeDifference] = {}
        counts: dict[str, int] = {}
        first = 0
        for piece in self._dataset.rows([*kinds, "task_index"], stored):
            for key, kind in kinds.items():
                rows = piece[key]
                wrong = (rows != expected[key][first : first + len(rows)]).reshape(len(rows), -1)
                if not wrong.any():
                    continue
                row = int(np.argmax(wrong.any(axis=1)))
                text = _value_difference(kind.feature, wrong[row], rows[row], expected[key][first + row])
                found.setdefault(key, EpisodeDifference(key, first + row, text))
                counts[key] = counts.get(key, 0) + int(wrong.any(axis=1).sum())
            tasks = [self._task(int(index)) for index in piece["task_index"].ravel()]
            if (row := next((row for row, task in enumerate(tasks) if task != ep.text), -1)) >= 0:
                text = _other_task((tasks[row],), ep.text)
                found.setdefault("task_index", EpisodeDifference("task_index", first + row, text))
            first += len(tasks)
        for key, entry in found.items():
            more = f" ({counts[key]} rows differ)" if counts.get(key, 1) > 1 else ""
            source = ep.row_map[entry.row or 0]
            source_row = f" (row {source} of the source)" if source != entry.row else ""
            yield entry._replace(message=entry.message + source_row + more)

    def _task(self, index: int) -> str | None:
        tasks = self._dataset.tasks
        return tasks[index] if 0 <= index < len(tasks) else None

    def _camera(self, ep: Episode, stored: EpisodeLocation, key: str) -> Iterator[EpisodeDifference]:
        try:
            if key in self._dataset.video_keys:
                problem = self._cameras.first_problem(ep.columns[key], stored.tracks[key].clip)
            else:
                problem = self._first_wrong_picture(ep, stored, key)
        except RobotroveError as exc:
            yield EpisodeDifference.not_compared(exc, key)
            return
        if problem is not None:
            yield EpisodeDifference(key, *problem)

    def _first_wrong_picture(self, ep: Episode, stored: EpisodeLocation, key: str) -> tuple[int, str] | None:
        decoder = ImageDecoder()
        sources = (frame for batch in ep.frames(key) for frame in batch)
        pictures = (picture for piece in self._dataset.rows([key], stored) for picture in piece[key])
        for row, (picture, source) in enumerate(zip(pictures, sources, strict=True)):
            if not np.array_equal(decoder.decode(picture), source):
                return row, OTHER_FRAME
        return None


def _value_difference(feature: Feature, wrong: Array, found: Array, expected: Array) -> str:
    """Say how one row differs; `wrong` marks which of its entries do."""
    entry = int(np.argmax(wrong))
    name = f"{feature.names[entry]} is " if feature.names else f"entry {entry} is " if wrong.size > 1 else ""
    left, right = found.reshape(-1)[entry], expected.reshape(-1)[entry]
    if isinstance(left, np.generic):
        left, right = left.item(), right.item()
    return f"{name}{left!r} in the dataset, {right!r} in the source"


def _other_task(tasks: tuple[str | None, ...], expected: str) -> str:
    return f"{', '.join(map(repr, tasks)) or 'no task'} in the dataset, {expected!r} from the source"
