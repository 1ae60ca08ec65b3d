"""Layout: how a kind of file lists its episodes, and what each of them says about itself."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.columns import Column
from ...core.episode import Episode, EpisodeOrigin, Rejection, Scanned
from ...core.errors import EpisodeRejected, UsageError, in_utf8
from ...core.features import DEFAULT_FEATURES
from . import LAYOUTS
from .columns import Flip
from .hdf5_file import DAMAGE, datasets, natural_key, object_name, reading, source_digest
from .mapping import ColumnSpec, build_column, check_lengths, is_picture, mapping_text, read_mapping
from .unrendered import unrendered_file

_SUFFIXES = ("_rgb", "_image")
_WORDS = dict.fromkeys(("true", "yes", "1", "success", "successful", "succeeded"), True) | dict.fromkeys(
    ("false", "no", "0", "failure", "failed", "fail"), False
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a file says, or that is assumed because it does not.

    Attributes:
        value: The text or number.
        source: Where it comes from: file, pipeline, default, env_name, env_task, file_name or none.
    """

    value: Any
    source: str


class Layout(ABC):
    """One kind of demonstration file. A subclass names the places in it; `open` is the same for all.

    Args:
        columns: Feature name to its source in the file; replaces the layout's own mapping as a whole.
        task: Instruction of episodes without one in the file.
        fps: Frames per second of episodes without a rate in the file.

    Attributes:
        default_fps: Assumed where neither file nor pipeline says it.
        episodes_are: What the episodes of such a file are, for error texts.
    """

    default_fps = 30
    episodes_are = "groups in /data"

    def __init__(
        self, *, columns: Mapping[str, ColumnSpec] | None = None, task: str | None = None, fps: int | None = None
    ) -> None:
        self.columns = columns
        self.task = task
        self.fps = fps
        for key in columns or {}:
            _check_feature_name(key)

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True if the file looks as if it had this layout."""
        return False

    @abstractmethod
    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return the paths of the groups that are episodes, in natural order; "/" is the whole file."""

    @abstractmethod
    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return the mapping used where the pipeline gives none: every camera, action and state.

        Raises:
            EpisodeRejected: missing_dataset if there is nothing to make a state from.
        """

    def mapping(self, group: h5py.Group) -> Mapping[str, ColumnSpec]:
        """Return where the columns of an episode are: the pipeline's mapping, or the layout's own."""
        return self.columns if self.columns is not None else self.default_columns(group)

    def success(self, group: h5py.Group) -> bool | None:
        """Return the recorder's label, None where there is none."""
        return None

    def file_task(self, group: h5py.Group) -> str | None:
        """Return the instruction that the file gives."""
        return None

    def fallback_task(self, group: h5py.Group) -> Fact:
        """Return what stands in for an instruction when neither file nor pipeline gives one."""
        return Fact("", "none")

    def file_fps(self, group: h5py.Group) -> float | None:
        """Return the frames per second that the file gives, not rounded."""
        return None

    def rows(self, group: h5py.Group) -> int | None:
        """Return how many rows of each dataset count, None for all."""
        return None

    def absolute_state(self, group: h5py.Group) -> tuple[str, str] | None:
        """Return another dataset for the state, of absolute joint positions, and why; None where the state is one."""
        return None

    def list(self, file: h5py.File) -> Sequence[str]:
        """Return the keys of the file's episodes.

        Raises:
            EpisodeRejected: no_episodes if there are none, unreadable_data if the file is damaged.
        """
        with reading(str(file.filename)):
            keys = self.keys(file)
        if not keys:
            raise _no_episodes(file, self.episodes_are)
        return keys

    def group(self, file: h5py.File, key: str) -> h5py.Group:
        """Return the group of an episode.

        Raises:
            EpisodeRejected: missing_dataset if it is gone.
        """
        with reading(f"episode {key}"):
            group = file.get(key or "/")
        if not isinstance(group, h5py.Group):
            raise EpisodeRejected("missing_dataset", f"{file.filename} has no group {key!r}")
        return group

    def open(self, file: h5py.File, key: str, mapping: str = "") -> Episode:
        """Return one episode with lazy columns; only its structure is read.

        Args:
            file: The open file.
            key: Its name in the file.
            mapping: Where its columns are, as planning decided it; empty to decide it now.

        Raises:
            EpisodeRejected: missing_dataset, unequal_lengths, empty_episode, bad_fps, or what
                `build_column` raises.
        """
        group = self.group(file, key)
        if mapping:
            specs, unused = read_mapping(mapping)
        else:
            specs = self._ask(self.mapping, group)
            mapped = {part.source.strip("/") for spec in specs.values() for part in spec.parts}
            unused = tuple(path for path in datasets(group) if path not in mapped)
        columns = {name: build_column(group, spec, name) for name, spec in specs.items()}
        length = _common_length(columns)
        if (counted := self._ask(self.rows, group)) is not None:
            columns, length = _shortened(columns, length, counted)
        if length == 0:
            raise EpisodeRejected("empty_episode", f"{key} has 0 rows")
        task, fps = self._task(group), self._fps(group)
        return Episode(
            id=f"{Path(file.filename).name}:{key}",
            text=in_utf8(task.value),
            length=length,
            fps=fps.value,
            columns=columns,
            success=self._ask(self.success, group),
            origin=EpisodeOrigin(
                str(file.filename),
                key,
                fps_source=fps.source,
                task_source=task.source,
                unused=unused,
                mapping=mapping or mapping_text(specs, unused),
            ),
        )

    def scan(self, file: h5py.File, key: str) -> Scanned:
        """Return one episode with the digest of its content, or why it cannot be opened."""
        digest = ""
        try:
            digest = source_digest(self.group(file, key))
            return Scanned(key, digest, self.open(file, key), None)
        except EpisodeRejected as exc:
            return Scanned(key, digest, None, Rejection.of(exc))

    def _task(self, group: h5py.Group) -> Fact:
        text = self._ask(self.file_task, group)
        if text:
            return Fact(text, "file")
        return Fact(self.task, "pipeline") if self.task else self._ask(self.fallback_task, group)

    def _fps(self, group: h5py.Group) -> Fact:
        found = self._ask(self.file_fps, group)
        if found is not None and math.isfinite(found) and abs(found - round(found)) <= 1e-6 and found >= 1:
            return Fact(round(found), "file")
        if self.fps is not None:
            return Fact(self.fps, "pipeline")
        if found is not None:
            raise EpisodeRejected(
                "bad_fps",
                f"{group.name} was recorded at {found:g} frames per second, and a dataset needs a whole number; "
                "set `fps:` in the pipeline",
            )
        return Fact(self.default_fps, "default")

    @staticmethod
    def _ask(hook: Any, group: h5py.Group) -> Any:
        with reading(f"the structure of {group.name}"):
            return hook(group)


def guess_layout(file: h5py.File) -> str | None:
    """Return the name of the layout that the file has, None if it is none that is known."""
    for name in LAYOUTS:
        with suppress(*DAMAGE, EpisodeRejected):  # a damaged object is no hint
            if LAYOUTS[name].matches(file):
                return name
    return None


def _no_episodes(file: h5py.File, looked_for: str) -> EpisodeRejected:
    """Return the error for a file without episodes; it names the layout that the file seems to have."""
    guess, why = guess_layout(file), unrendered_file(file)
    hint = f"; it looks like layout {guess!r}" if guess else f"; {why}" if why else ""
    with reading("the root group"):
        inside = ", ".join(sorted(map(object_name, file), key=natural_key)[:8]) or "nothing"
    return EpisodeRejected("no_episodes", f"{file.filename} has no {looked_for}, its root contains {inside}{hint}")


def _check_feature_name(key: str) -> None:
    if not key or "/" in key or key in DEFAULT_FEATURES or key == "task":
        raise UsageError(
            f"columns: {key!r}",
            "is not a valid feature name",
            "a name without '/', other than " + ", ".join((*DEFAULT_FEATURES, "task")),
            "write nested names with dots, as in observation.images.front",
        )


def _common_length(columns: Mapping[str, Column]) -> int:
    lengths = {name: column.length for name, column in columns.items()}
    if not lengths:
        raise EpisodeRejected("missing_dataset", "has no columns")
    check_lengths(lengths)
    return next(iter(lengths.values()))


def _shortened(columns: dict[str, Column], length: int, counted: int) -> tuple[dict[str, Column], int]:
    if counted > length or counted < 0:
        raise EpisodeRejected("unequal_lengths", f"the file says {counted} rows, its datasets have {length}")
    if counted == length:
        return columns, length
    return {name: column.take(np.arange(counted)) for name, column in columns.items()}, counted


def camera_columns(group: h5py.Group, folders: Sequence[str], flip: Flip = "none") -> dict[str, ColumnSpec]:
    """Return a column for every uint8 (T, H, W, C) dataset below the folders.

    `obs/front_rgb` becomes `observation.images.front`, `obs/left/wrist` `observation.images.left.wrist`.
    A name that is taken already keeps its whole path.

    Args:
        group: The episode.
        folders: Paths of groups to look into; names of the first ones win.
        flip: How the frames differ from upright ones.
    """
    columns: dict[str, ColumnSpec] = {}
    for folder in folders:
        parent = group.get(folder)
        if not isinstance(parent, h5py.Group):
            continue
        for path, dataset in datasets(parent).items():
            if dataset.shape and dataset.dtype == np.uint8 and is_picture(dataset):
                source = f"{folder}/{path}"
                key = camera_key(path)
                if key in columns:
                    key = camera_key(source)
                columns[key] = ColumnSpec(source=source, flip=flip)
    return columns


def camera_key(path: str) -> str:
    """Return the feature name of the camera at `path`, without the suffixes _rgb and _image."""
    for suffix in _SUFFIXES:
        if path.endswith(suffix) and not path.endswith("/" + suffix):
            path = path.removesuffix(suffix)
            break
    return "observation.images." + path.replace("/", ".")


def groups(parent: h5py.Group, path: str = "/") -> list[str]:
    """Return the names of the groups in the group `path`, in natural order.

    What cannot be opened counts, so that its episode is rejected by name instead of vanishing, or
    taking the rest of the file with it.
    """
    folder = parent.get(path)
    if not isinstance(folder, h5py.Group):
        return []
    with reading(f"group {folder.name}"):
        names = sorted(map(object_name, folder), key=natural_key)
    return [name for name in names if _may_be_group(folder, name)]


def _may_be_group(folder: h5py.Group, name: str) -> bool:
    try:
        return folder.get(name, getclass=True) in (h5py.Group, None)
    except DAMAGE:
        return True


def text(value: Any) -> str | None:
    """Return an attribute or a single value as text, None if it is missing or no text."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).strip() or None if isinstance(value, str) else None


def json_attribute(group: h5py.Group, name: str) -> dict[str, Any]:
    """Return a JSON object kept in an attribute; empty if it is missing or broken."""
    try:
        value = json.loads(text(group.attrs.get(name)) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def flag(value: Any) -> bool | None:
    """Return a label as bool, None if it is missing or says neither; an array counts by its last entry."""
    if value is None or np.size(value) == 0:
        return None
    last = np.reshape(value, -1)[-1]
    if (word := text(last)) is not None:
        return _WORDS.get(word.lower())
    if not isinstance(last, np.bool_ | np.number) or not np.isfinite(last) or last < 0:
        return None
    return bool(last)
