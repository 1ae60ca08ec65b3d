"""LeRobot datasets and their episodes as documents for JSON, and these as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RobotroveError, UsageError, printable
from ...core.features import DEFAULT_FEATURES, channels, frame_size, vectors
from ...formats.hdf5.preview import spread
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import has_origins, origin_of, origins
from ...formats.lerobot.stats.image_stats import CHANNELS
from ...media.image.overview import Colours, curves, filmstrip
from ...media.image.pixels import Pixels
from ...media.video.probe import codec_name, open_track
from ...pipelines.run.trace import trace, video_windows
from ..display import duration
from ..output import counted, cut, padded, size
from .object_lines import WIDTH, short

_T = TypeVar("_T")
_MOST_SHOWN = 10  # tasks, and names of a feature
_NAME, _NUMBER, _HEIGHT = 20, 9, 3  # columns of a name and of a limit, lines of a curve
MOST_VALUES = 256  # of a row of numbers that an episode is shown with
LABELS = {True: "yes", False: "no", None: "not_labelled"}


def is_dataset(path: Path) -> bool:
    """True for the folder of a LeRobot dataset."""
    return (path / paths_v30.INFO).is_file()


class OpenedDataset:
    """A dataset that is shown as far as it can be read.

    Attributes:
        dataset: The dataset.
        faults: What cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.faults: list[str] = []
        self.dataset: Dataset = open_dataset(root, damage=self._add)

    def _add(self, exc: RobotroveError) -> None:
        if (told := f"{exc.where}: {exc.found}") not in self.faults:
            self.faults.append(told)

    def read(self, function: Callable[[], _T]) -> _T | None:
        """Return what a function reads; on a fault, which is kept, return None."""
        try:
            return function()
        except RobotroveError as exc:
            self._add(exc)
            return None

    def document(self) -> dict[str, Any]:
        """Return what the metadata says of the dataset."""
        dataset = self.dataset
        features = self.read(lambda: dataset.features) or {}
        lengths: list[int] = self.read(lambda: dataset.lengths.tolist()) or []
        videos = {key: self._encoding(key) for key in features}
        cameras = {
            key: dict(zip(("height", "width"), frame_size(feature), strict=True))
            | {"stored_as": feature.dtype}
            | {name: videos[key].get(f"video.{name}") for name in ("codec", "pix_fmt", "fps")}
            for key, feature in (self.read(lambda: dataset.cameras) or {}).items()
        }
        return {
            "dataset": str(dataset.root),
            "version": dataset.version,
            "size": sum(path.stat().st_size for path in dataset.root.rglob("*") if path.is_file()),
            "robot_type": dataset.info.get("robot_type"),
            "fps": self.read(lambda: dataset.fps),
            "episodes": len(lengths),
            "frames": sum(lengths),
            "lengths": _limits(lengths),
            "tasks": (self.read(lambda: dataset.tasks) or []),
            "cameras": cameras,
            "features": {
                key: {"dtype": feature.dtype, "shape": list(feature.shape), "names": feature.names}
                for key, feature in features.items()
                if key not in DEFAULT_FEATURES
            },
            "provenance": self.read(self._provenance) if has_origins(dataset) else None,
            "faults": self.faults,
        }

    def _encoding(self, key: str) -> Mapping[str, Any]:
        """Return what info.json says of the videos of a camera, else what its first file says."""
        entry = self.dataset.info["features"][key]
        told = entry.get("info") or entry.get("video_info")
        found = told if isinstance(told, dict) else {}
        if key not in self.dataset.video_keys or "video.codec" in found:
            return found
        track = self.read(lambda: next((at.tracks[key] for at in self.dataset.episodes()), None))
        return {**(self.read(lambda: _encoding_in(track.clip.path)) or {}), **found} if track else found

    def colour_cameras(self) -> list[str]:
        """Return the cameras with colours; depth has no pictures to show."""
        found = self.read(lambda: self.dataset.cameras) or {}
        return [key for key, feature in found.items() if len(feature.shape) == 3 and channels(feature) == CHANNELS]

    def _provenance(self) -> dict[str, Any]:
        success: Counter[str] = Counter()
        versions: Counter[str | None] = Counter()
        sources: dict[str, None] = {}
        for origin in origins(self.dataset):
            success[LABELS[origin.success]] += 1
            versions[origin.robotrove_version] += 1
            sources[origin.source_name] = None
        return {
            "sources": len(sources),
            "success": dict(success),
            "robotrove": {name: versions[name] for name in versions if name},
        }

    def some(self, count: int) -> list[EpisodeLocation]:
        """Return at most `count` episodes, evenly spread."""
        numbers: list[int] = self.read(lambda: self.dataset.episode_numbers.tolist()) or []
        chosen = {numbers[at] for at in spread(len(numbers), count)}
        return self.read(lambda: [at for at in self.dataset.episodes() if at.index in chosen]) or []

    def located(self, episode: int) -> EpisodeLocation:
        """Return where an episode is; UsageError if the dataset has no such."""
        for at in self.dataset.episodes():
            if at.index == episode:
                return at
        numbers = self.dataset.episode_numbers
        raise UsageError(str(self.dataset.root), f"has no episode {episode}", f"{numbers.min()} to {numbers.max()}")

    def episode_document(self, at: EpisodeLocation, series: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return what is known of an episode; `series` are its numbers."""
        dataset, origin, path = self.dataset, None, None
        if has_origins(dataset):
            origin = self.read(lambda: origin_of(dataset, at.index))
            path = self.read(lambda: trace(dataset.root, at.index).path) if origin else None
        fps = self.read(lambda: dataset.fps)
        rows = {"path": at.rows.path.relative_to(dataset.root).as_posix(), "first": at.rows.first}
        return {
            "dataset": str(dataset.root),
            "episode": at.index,
            "frames": at.length,
            "seconds": at.length / fps if fps else None,
            "tasks": list(at.tasks),
            "success": origin.success if origin else None,
            "source": {"name": origin.source_name, "key": origin.source_key, "rows": str(origin.row_map), "path": path}
            if origin
            else None,
            "rows": rows,
            "videos": {key: asdict(window) for key, window in video_windows(dataset, at).items()} if fps else {},
            "numbers": {key: _summary(values) for key, values in series.items()},
            "faults": self.faults,
        }

    def series(self, at: EpisodeLocation) -> dict[str, NDArray[Any]]:
        """Return the numbers of an episode: feature to (frames, values)."""
        found: dict[str, NDArray[Any]] = {}
        for key, feature in (self.read(lambda: vectors(self.dataset.features)) or {}).items():
            if key in DEFAULT_FEATURES or prod(feature.shape) > MOST_VALUES:
                continue
            values = self.read(partial(self._numbers, key, at))
            if values is not None:
                found[key] = values
        return found

    def _numbers(self, key: str, at: EpisodeLocation) -> NDArray[Any] | None:
        parts = [rows[key] for rows in self.dataset.rows([key], at)]
        return np.concatenate(parts).reshape(sum(map(len, parts)), -1) if parts else None

    def pictures(self, key: str, at: EpisodeLocation, rows: Sequence[int]) -> list[tuple[int, Pixels]]:
        """Return frames of a camera that can be read, with their rows."""
        found = []
        for row in rows:
            if (frame := self.read(partial(self._frame, key, at, row))) is not None:
                found.append((row, frame))
        return found

    def _frame(self, key: str, at: EpisodeLocation, row: int) -> Pixels | None:
        return next((batch[0] for batch in self.dataset.frames(key, at, row, 1)), None)


def _encoding_in(path: Path) -> dict[str, Any]:
    with open_track(path) as (_, stream):
        return {"video.codec": codec_name(stream), "video.pix_fmt": stream.pix_fmt}


def _limits(values: Sequence[int]) -> dict[str, float] | None:
    return {"min": min(values), "mean": sum(values) / len(values), "max": max(values)} if values else None


def _summary(values: NDArray[Any]) -> dict[str, Any]:
    numbers = values.astype(np.float64)
    return {
        "first": values[0].tolist(),
        "last": values[-1].tolist(),
        "min": numbers.min(0).tolist(),
        "mean": numbers.mean(0).tolist(),
        "max": numbers.max(0).tolist(),
    }


def dataset_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a document of a dataset."""
    yield printable(f"{found['dataset']}: LeRobot dataset {found['version']}, {size(found['size'])}")
    lengths, fps = found["lengths"], found["fps"]
    if lengths:
        time = f" ({duration(found['frames'] / fps)})" if fps else ""
        low, high = lengths["min"], lengths["max"]
        each = f"{low:,} each" if low == high else f"{low:,} to {high:,} each, mean {lengths['mean']:.1f}"
        yield _fact("episodes", f"{found['episodes']:,}, {counted(found['frames'], 'frame')}{time}, {each}")
    yield _fact("fps", str(fps))
    yield _fact("robot", str(found["robot_type"] or "not named"))
    for index, task in enumerate(found["tasks"][:_MOST_SHOWN]):
        yield _fact("tasks" if not index else "", f"{index}  {short(task)}")
    if (more := len(found["tasks"]) - _MOST_SHOWN) > 0:
        yield _fact("", f"… {more:,} more")
    for index, (key, camera) in enumerate(found["cameras"].items()):
        how = " ".join(str(camera[name]) for name in ("codec", "pix_fmt") if camera[name])
        stored = f"{camera['stored_as']} {how}".strip()
        yield _fact("cameras" if not index else "", f"{key}  {camera['width']}x{camera['height']}, {stored}")
    others = [item for item in found["features"].items() if item[0] not in found["cameras"]]
    for index, (key, feature) in enumerate(others):
        names = feature["names"] or ()
        told = ", ".join(names[:_MOST_SHOWN]) + (", …" if len(names) > _MOST_SHOWN else "")
        shape = "x".join(map(str, feature["shape"]))
        text = f"{key}  {feature['dtype']} ({shape}) {told}".rstrip()
        yield cut(_fact("features" if not index else "", text), WIDTH)
    if origin := found["provenance"]:
        success = ", ".join(f"{count:,} {label.replace('_', ' ')}" for label, count in origin["success"].items())
        yield _fact("source", f"{counted(origin['sources'], 'source')}, success: {success}")
        if origin["robotrove"]:  # episodes that other tools recorded have no version
            yield _fact("", f"converted by robotrove {', '.join(origin['robotrove'])}")
    else:
        yield _fact("source", "no provenance: not made by robotrove")


def _fact(name: str, text: str) -> str:
    return printable(f"  {name:<9} {text}")


def episode_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a document of an episode, without its curves and pictures."""
    seconds = f", {found['seconds']:.2f} s" if found["seconds"] else ""
    yield printable(f"{found['dataset']}, episode {found['episode']}: {counted(found['frames'], 'frame')}{seconds}")
    yield _fact("task", "; ".join(map(short, found["tasks"])))
    yield _fact("success", (LABELS[found["success"]].replace("_", " ")))
    if source := found["source"]:
        place = source["path"] or "path unknown"
        yield _fact("source", f"{source['name']}:{source['key']}, rows {source['rows']} ({place})")
    rows = found["rows"]
    yield _fact("rows", f"{rows['path']}, {rows['first']:,} to {rows['first'] + found['frames'] - 1:,}")
    for index, (key, video) in enumerate(found["videos"].items()):
        yield _fact("video" if not index else "", f"{key}: {video['path']},")
        yield _fact("", f"  {video['start']:.3f} to {video['end']:.3f} s")


def curve_lines(
    series: Mapping[str, NDArray[Any]], names: Mapping[str, Sequence[str] | None], how: Colours
) -> Iterator[str]:
    """Yield a curve per joint, the action over the state where both have it.

    An action is of the joint with its name; where no name is in both, of the joint with its number, if both have
    equally many.

    Args:
        series: (frames, values) of each feature.
        names: Names of their values.
        how: How the terminal takes colours.
    """
    states, actions = (labelled(series, names, key) for key in ("observation.state", "action"))
    if not states.keys() & actions.keys() and len(states) == len(actions):
        actions = dict(zip(states, actions.values(), strict=True))
    if states or actions:
        yield "curves: " + ("state ., action +, both #" if how == "none" else "state cyan, action yellow, both white")
    for label in states | actions:
        columns = [found.get(label) for found in (states, actions)]
        finite = np.concatenate([values[np.isfinite(values)] for values in columns if values is not None])
        high, low = (f"{end:.4g}" for end in (finite.max(), finite.min())) if finite.size else ("–", "–")
        beside = [(cut(printable(label), _NAME), high), *[("", "")] * (_HEIGHT - 2), ("", low)]
        drawn = curves(columns, WIDTH - _NAME - _NUMBER - 2, _HEIGHT, how)
        for (name, end), line in zip(beside, drawn, strict=True):
            yield f"{padded(name, _NAME)} {end:>{_NUMBER}} {line}".rstrip()


def labelled(
    series: Mapping[str, NDArray[Any]], names: Mapping[str, Sequence[str] | None], key: str
) -> dict[str, NDArray[Any]]:
    """Return the values (frames,) float64 of each joint; without names of its own each, by their numbers."""
    if key not in series:
        return {}
    columns = series[key].T.astype(np.float64)
    labels = names.get(key) or ()
    if len(set(labels)) != len(columns):
        labels = [f"joint {index}" for index in range(len(columns))]
    return dict(zip(labels, columns, strict=True))


def strip_lines(label: str, shown: Sequence[tuple[int, Pixels]], how: Colours) -> Iterator[str]:
    """Yield a filmstrip of pictures under a label and their numbers."""
    if shown:
        yield printable(f"{label} {', '.join(f'{row:,}' for row, _ in shown)}")
        yield from filmstrip([frame for _, frame in shown], WIDTH, how)
