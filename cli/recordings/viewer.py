"""Rerun viewer for an episode: its recording and its dataset side by side, on one time line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.commit import file_attempt
from ...core.episode import Episode
from ...core.errors import (
    EpisodeRejected,
    RobotroveError,
    UsageError,
    exists_already,
    explained,
    not_written,
    printable,
)
from ...core.features import DEFAULT_FEATURES, cameras, channels, vectors
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.stats.image_stats import CHANNELS
from ...media.image.pixels import Pixels
from ...pipelines.run.reopen import finished_run
from ...pipelines.run.trace import trace
from .dataset_lines import MOST_VALUES, OpenedDataset, labelled

_JPEG_QUALITY = 95  # raw frames of a long episode do not fit into the viewer's memory
_TIMEOUT = 60  # seconds for what was logged to reach a file or the viewer
_CURVES = ("observation.state", "action")  # drawn; the viewer lists the others
_STUCK: list[Any] = []  # streams that cannot write: Rerun 0.41 waits without end when it frees one


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the viewer.

    Attributes:
        name: First part of its entities: `source` or `dataset`.
        cameras: Reader of the frames of each camera, some at a time.
        numbers: Feature to the curve of each joint.
    """

    name: str
    cameras: Mapping[str, Callable[[], Iterator[Pixels]]]
    numbers: Mapping[str, Mapping[str, NDArray[Any]]]


class RerunLog:
    """Log of an episode in Rerun, in a file or in a viewer that it opens.

    Entities are `source/FEATURE/JOINT`, `dataset/CAMERA` …, the time lines `frame` (of the dataset, from 0) and `time`
    (in s). A row of the recording is at the frame of the dataset that it became. Memory does not grow with the number
    of frames.

    Args:
        opened: The dataset; takes the faults of frames that cannot be read.
        at: The episode.

    Attributes:
        note: Why the recording is not in the log; empty if it is.
    """

    def __init__(self, opened: OpenedDataset, at: EpisodeLocation) -> None:
        self.note = ""
        self._opened = opened
        self._at = at
        self._rerun = _import_rerun()
        self._log = self._rerun.RecordingStream("robotrove")

    def write(self, target: Path) -> None:
        """Write the log as a file .rrd.

        Raises:
            UsageError: If the file exists, or cannot be written.
        """
        if os.path.lexists(target):
            raise exists_already(target)
        try:
            with file_attempt(target) as attempt:
                self._log.save(attempt)
                self._fill()
                self._log.disconnect()
        except (OSError, RuntimeError) as exc:  # the second one is Rerun's, also for a full disk
            _STUCK.append(self._log)
            told = exc if isinstance(exc, OSError) else OSError(0, str(exc))
            raise not_written(target, told, "a file in a folder that exists, on a disk with room") from exc

    def show(self) -> None:
        """Open the viewer and send it the log.

        Raises:
            UsageError: If the computer has no screen, or the viewer does not start.
        """
        todo = "--rerun FILE.rrd writes a file; open it with `rerun FILE.rrd` where there is a screen"
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UsageError(
                "--rerun", "this computer has no screen for the viewer", "DISPLAY or WAYLAND_DISPLAY", todo
            )
        try:
            self._log.spawn()
            self._fill()
        except RuntimeError as exc:
            raise UsageError("--rerun", f"the viewer does not answer: {exc}", "a viewer that starts", todo) from exc

    def _fill(self) -> None:
        root, number = self._opened.dataset.root, self._at.index
        with ExitStack() as stack:
            sides = [_stored(self._opened, self._at)]
            try:
                sides.insert(0, stack.enter_context(_recorded(root, number)))
            except RobotroveError as exc:
                self.note = " ".join(f"the recording is not shown: {explained(exc)}".split())
            self._log.send_recording_name(printable(f"{root.name}, episode {number}"))
            self._log.send_blueprint(self._blueprint(sides))
            for side in sides:
                for feature, curves in side.numbers.items():
                    for label, values in curves.items():
                        self._curve(self._entity(side.name, feature, label), values)
                for camera, frames in side.cameras.items():
                    self._opened.read(partial(self._film, self._entity(side.name, camera), frames))
        self._log.flush(timeout_sec=_TIMEOUT)

    def _entity(self, *parts: str) -> str:
        return str(self._rerun.new_entity_path([printable(part) for part in parts]))

    def _curve(self, entity: str, values: NDArray[Any]) -> None:
        rr, rows = self._rerun, np.arange(len(values))
        times = [rr.TimeColumn("frame", sequence=rows), rr.TimeColumn("time", duration=rows / self._opened.dataset.fps)]
        self._log.send_columns(entity, indexes=times, columns=rr.Scalars.columns(scalars=values))

    def _film(self, entity: str, frames: Callable[[], Iterator[Pixels]]) -> None:
        first = 0
        for batch in frames():
            for row, picture in enumerate(batch, first):
                self._log.set_time("frame", sequence=row)
                self._log.set_time("time", duration=row / self._opened.dataset.fps)
                self._log.log(entity, self._rerun.Image(picture).compress(jpeg_quality=_JPEG_QUALITY))
            first += len(batch)
            self._log.flush(timeout_sec=_TIMEOUT)

    def _blueprint(self, sides: list[Side]) -> Any:
        import rerun.blueprint as rrb

        columns = []
        for side in sides:
            films = [rrb.Spatial2DView(origin=self._entity(side.name, key), name=key) for key in side.cameras]
            drawn = [key for key in _CURVES if key in side.numbers]
            curves = [rrb.TimeSeriesView(origin=self._entity(side.name, key), name=key) for key in drawn]
            columns.append(rrb.Vertical(*([rrb.Grid(*films)] if films else []), *curves, name=side.name))
        return rrb.Blueprint(rrb.Horizontal(*columns))


def _import_rerun() -> Any:
    try:
        import rerun
    except ImportError as exc:
        raise UsageError("--rerun", str(exc), "the package rerun-sdk", "pip install 'robotrove[view]'") from exc
    return rerun


def _stored(opened: OpenedDataset, at: EpisodeLocation) -> Side:
    series = opened.series(at)
    names = {key: opened.dataset.features[key].names for key in series}
    films = {key: partial(opened.dataset.frames, key, at) for key in opened.colour_cameras()}
    return Side("dataset", films, {key: labelled(series, names, key) for key in series})


@contextmanager
def _recorded(dataset: Path, episode: int) -> Iterator[Side]:
    """Give the recording of an episode as the run read it, those of its rows that the dataset has.

    Raises:
        RobotroveError: If it is unknown, or cannot be read.
    """
    found = trace(dataset, episode)
    if found.run_dir is None or found.row is None:
        raise RobotroveError(found.origin.label, "no run directory that can be read names its file")
    for ep in finished_run(found.run_dir).episodes([found.row]):
        if ep.rejection:
            raise EpisodeRejected(ep.rejection.reason, ep.rejection.detail)
        yield _side_of(ep.take(found.origin.row_map.rows))


def _side_of(taken: Episode) -> Side:
    features = taken.features
    keys = [key for key, feature in vectors(features).items() if prod(feature.shape) <= MOST_VALUES]
    series = {key: taken[key].reshape(taken.length, -1) for key in keys if key not in DEFAULT_FEATURES}
    names = {key: features[key].names for key in series}
    colours = [key for key, feature in cameras(features).items() if channels(feature) == CHANNELS]
    films = {key: partial(taken.frames, key) for key in colours}
    return Side("source", films, {key: labelled(series, names, key) for key in series})
