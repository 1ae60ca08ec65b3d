"""Layout: how a kind of file lists its episodes, and what each of them says about itself."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableSet, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.columns import Array, Column
from ...core.episode import EXAMPLE, Episode, EpisodeOrigin, Rejection, Scanned
from ...core.errors import EpisodeRejected, UsageError, in_utf8, nearest, of_episode
from ...core.features import DEFAULT_FEATURES
from ...core.source_file import files_text
from . import LAYOUTS
from .columns import Flip, depth_or_mask, is_camera, left_out, orientation
from .content_digest import content_digest
from .hdf5_file import (
    DAMAGE,
    FlatGroup,
    episode_group,
    lookup,
    natural_key,
    object_name,
    objects,
    reading,
    rows_of,
    searched_datasets,
    source_digests,
    stores_all_rows,
    undecodable,
)
from .mapping import ColumnSpec, build_column, check_lengths, find_dataset, mapping_text, read_mapping
from .stored_rows import check_rows
from .unrendered import unrendered_file

_SEVERAL = "the first of several instructions is used"
_OTHER_TASK = "source.task is used: the instruction of the file is not usable"
_NO_STAND_IN = "the name of the environment is not UTF-8, and does not stand in for an instruction"
_OTHER_FPS = "source.fps is used: the frame rate of the file is not usable"
_NO_LABEL = (
    "the success label says neither success nor failure; a number other than 0 and 1 needs "
    "options: {success_threshold: 0.5}"
)
_RATE = re.compile(
    r"\s*([0-9]+\.?[0-9]*)\s*(?:/\s*([0-9]+\.?[0-9]*)\s*)?(?:hz|fps|frames(?: per second|/s))?\s*", re.IGNORECASE
)
_SUFFIXES = ("_rgb", "_image")
# EXIF orientations that a flip makes upright.
_FLIPS: Mapping[int, Flip] = {2: "horizontal", 3: "rotate180", 4: "vertical"}
_ARRAYS = (h5py.Dataset, EpisodeRejected)  # datasets, and links that lead nowhere
_WORDS = dict.fromkeys(("true", "yes", "1", "success", "successful", "succeeded"), True) | dict.fromkeys(
    ("false", "no", "0", "failure", "failed", "fail"), False
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a file says, or that is assumed because it does not.

    Attributes:
        value: The text or number.
        source: Where it comes from: file, pipeline, default, env_name, env_task, file_name or none.
        note: What a user should know about it, see `EpisodeOrigin.notes`.
    """

    value: Any
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Value at a place of a file, as it is there.

    Attributes:
        where: The place.
        value: As h5py or JSON gives it.
        names: Name of each number of an enum; None for other types.
    """

    where: str
    value: Any
    names: Mapping[str, int] | None = None

    @property
    def is_empty(self) -> bool:
        """True for nothing, an array of no entries, and texts of no letters."""
        return not _entries(self.value) or texts(self.value) == []

    def __str__(self) -> str:
        names = {number: name for name, number in (self.names or {}).items()}
        entries = [names.get(entry, entry) if names else entry for entry in _entries(self.value)]
        shown = ", ".join(f"{entry:g}" if isinstance(entry, float) else repr(entry) for entry in entries[-3:])
        return f"{self.where} is {'…, ' if len(entries) > 3 else ''}{shown[:80]}{'…' if len(shown) > 80 else ''}"


class Layout(ABC):
    """One kind of demonstration file. A subclass names the places in it; `open` is the same for all.

    Args:
        columns: Feature name to its source in the file; replaces the layout's own mapping as a whole.
        task: Instruction of episodes without one in the file.
        fps: Frames per second of episodes without a rate in the file.
        success_threshold: A label that is a number says success if it is at least this; without it only 0 and 1 count.

    Attributes:
        default_fps: Assumed where neither file nor pipeline says it.
        episodes_are: What the episodes of such a file are, for error texts.
        copies: Beginnings of paths; datasets there repeat others, and no note names them.
        row_counter: Attribute of an episode's group that says how many rows count; empty without one.
        is_counter_exact: True if more rows than there are reject the episode, False for recorders that miscount.
    """

    default_fps = 30
    episodes_are = "groups in /data"
    copies: tuple[str, ...] = ()
    row_counter = ""
    is_counter_exact = True

    def __init__(
        self,
        *,
        columns: Mapping[str, ColumnSpec] | None = None,
        task: str | None = None,
        fps: int | None = None,
        success_threshold: float | None = None,
    ) -> None:
        if success_threshold is not None and type(success_threshold) not in (int, float):
            raise UsageError("source.options.success_threshold", repr(success_threshold), "a number, such as 0.5")
        self.columns = columns
        self.task = task
        self.fps = fps
        self.success_threshold = success_threshold
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
        """Return the mapping used where the pipeline gives none: action, state and every camera that shows pictures.

        Raises:
            EpisodeRejected: missing_dataset if there is nothing to make a state from.
        """

    def mapping(self, group: h5py.Group) -> Mapping[str, ColumnSpec]:
        """Return where the columns of an episode are: the pipeline's mapping, or the layout's own."""
        return self.columns if self.columns is not None else self.default_columns(group)

    def success(self, group: h5py.Group) -> Found | bool | None:
        """Return the recorder's label, None where there is none."""
        return None

    def file_task(self, group: h5py.Group) -> Found | str | None:
        """Return the instruction that the file gives."""
        return None

    def fallback_task(self, group: h5py.Group) -> Fact:
        """Return what stands in for an instruction when neither file nor pipeline gives one."""
        return Fact("", "none")

    def file_fps(self, group: h5py.Group) -> Found | float | None:
        """Return the frames per second that the file gives, not rounded."""
        return None

    def notes(self, group: h5py.Group, length: int) -> Iterator[str]:
        """Yield what a user should know of an episode of `length` rows, see `EpisodeOrigin.notes`."""
        yield from ()

    def lacking(self, group: h5py.Group) -> Iterator[tuple[str, str]]:
        """Yield options that name a place which an episode does not have, see `EpisodeOrigin.lacking`."""
        yield from ()

    def rows(self, group: h5py.Group) -> int | None:
        """Return how many rows of each dataset count, None for all, -1 if the file does not say it in numbers."""
        return _whole(group.attrs.get(self.row_counter)) if self.row_counter else None

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

    def group(self, file: h5py.File, key: str, files: MutableSet[Path] | None = None) -> h5py.Group:
        """Return the group of an episode; `files` takes the other files that links to it lead to.

        Raises:
            EpisodeRejected: See `episode_group`.
        """
        return episode_group(file, key, files)

    def open(self, file: h5py.File, key: str, mapping: str = "") -> Episode:
        """Return one episode with lazy columns; only its structure is read.

        Args:
            file: The open file.
            key: Its name in the file.
            mapping: Where its columns are, as planning decided it; empty to decide it now.

        Raises:
            EpisodeRejected: missing_dataset, unequal_lengths, empty_episode, bad_fps, bad_text, or what
                `build_column` raises.
        """
        files: set[Path] = set()
        group = self.group(file, key, files)
        start = group.rows.start if isinstance(group, FlatGroup) else 0
        specs: Mapping[str, ColumnSpec]
        if mapping:
            specs, unused = read_mapping(mapping)
        else:
            specs = self._ask(self.mapping, group)
            mapped = {part.source.strip("/") for spec in specs.values() for part in spec.parts}
            found = (path for path, item in objects(group, files).items() if isinstance(item, _ARRAYS))
            unused = tuple(path for path in found if path not in mapped)
        is_planned = bool(mapping) or self.columns is None
        columns = {name: build_column(group, spec, name, is_planned=is_planned) for name, spec in specs.items()}
        stored = {part.source: columns[name].stored for name, spec in specs.items() for part in spec.parts}
        length = _common_length(columns)
        if isinstance(group, FlatGroup):
            columns, length = _part(columns, length, group)
        columns, length, counted = self._counted(group, columns, length)
        if length == 0:
            raise EpisodeRejected("empty_episode", f"{key} has 0 rows{f' by {self.row_counter}' if counted else ''}")
        _check_stored(group, specs, length, files)
        task, fps, success = self._task(group), self._fps(group), self._success(group)
        notes = [*counted, *(fact.note for fact in (task, fps, success) if fact.note)]
        lacking: tuple[tuple[str, str], ...] = ()
        if not mapping:  # planning has reported them for the run
            with reading(f"the structure of {group.name}"):
                notes, lacking = [*notes, *self.notes(group, length)], tuple(self.lacking(group))
            notes += self._camera_notes(group, specs, unused)
        return Episode(
            id=f"{Path(file.filename).name}:{key}",
            text=in_utf8(task.value),
            length=length,
            fps=fps.value,
            columns=columns,
            success=success.value,
            origin=EpisodeOrigin(
                str(file.filename),
                key,
                fps_source=fps.source,
                task_source=task.source,
                unused=unused,
                start=start,
                mapping=mapping or mapping_text(specs, unused),
                notes=tuple(notes),
                lacking=lacking,
                files="" if mapping else files_text(files),
            ),
            content=partial(content_digest, group, stored),
        )

    def scan(self, file: h5py.File, key: str) -> Scanned:
        """Return one episode with the digest of its content, or why it cannot be opened."""
        digest, earlier = "", ""
        try:
            digest, earlier = source_digests(self.group(file, key), check_rows)
            return Scanned(key, digest, self.open(file, key), None, earlier)
        except (EpisodeRejected, MemoryError) as exc:
            return Scanned(key, digest, None, Rejection.of(of_episode(exc, "listing it")), earlier)

    def _task(self, group: h5py.Group) -> Fact:
        problem, found = "", self.found(self.file_task, group)
        if found is not None and not found.is_empty:
            said = _instructions(found.value)
            if said and not (problem := undecodable(found.where, said[0])):
                several = f"{_SEVERAL}{EXAMPLE}{found.where} has {len(said)}" if len(set(said)) > 1 else ""
                return Fact(said[0], "file", several)
            if said != []:
                problem = problem or f"{found}, not a text"
        if self.task:
            return Fact(self.task, "pipeline", f"{_OTHER_TASK}{EXAMPLE}{problem}" if problem else "")
        if problem:
            raise EpisodeRejected("bad_text", f"{problem}; set source.task (`task:` in the pipeline)")
        fact: Fact = self._ask(self.fallback_task, group)
        if problem := undecodable(f"the {fact.source} of {group.name}", fact.value):
            return Fact("", "none", f"{_NO_STAND_IN}{EXAMPLE}{problem}")
        return fact

    def _fps(self, group: h5py.Group) -> Fact:
        problem, found = "", self.found(self.file_fps, group)
        if found is not None and not found.is_empty:
            value = rate(found.value)
            if value is not None and abs(value - round(value)) <= 1e-6 and value >= 1:
                return Fact(round(value), "file")
            problem = f"{found}, not a number of frames per second"
            if value is not None:
                problem = f"{found}; a dataset needs a whole number of frames per second, at least 1"
        if self.fps is not None:
            return Fact(self.fps, "pipeline", f"{_OTHER_FPS}{EXAMPLE}{problem}" if problem else "")
        if problem:
            raise EpisodeRejected("bad_fps", f"{problem}: set source.fps (`fps:` in the pipeline)")
        return Fact(self.default_fps, "default")

    def _success(self, group: h5py.Group) -> Fact:
        found = self.found(self.success, group)
        label = None if found is None else flag(found.value, self.success_threshold, found.names)
        is_strange = label is None and found is not None and not found.is_empty
        return Fact(label, "file", f"{_NO_LABEL}{EXAMPLE}{found}" if is_strange else "")

    def _counted(
        self, group: h5py.Group, columns: dict[str, Column], length: int
    ) -> tuple[dict[str, Column], int, tuple[str, ...]]:
        """Return the rows that the file says count, and notes on them."""
        counted, name = self._ask(self.rows, group), self.row_counter or "the file"
        if counted is None or counted == length:
            return columns, length, ()
        example = f"{EXAMPLE}{group.name} has {length}, {name} says {counted}"
        if 0 <= counted < length:
            taken = {key: column.take(np.arange(counted)) for key, column in columns.items()}
            return taken, counted, (f"rows after those that {name} counts are not converted{example}",)
        if self.is_counter_exact:
            raise EpisodeRejected("unequal_lengths", f"{name} says {counted} rows, the datasets have {length}")
        found = "more rows than the datasets have" if counted > 0 else "no number of rows"
        return columns, length, (f"{name} says {found}: all rows are converted{example}",)

    def found(self, hook: Callable[[h5py.Group], Any], group: h5py.Group) -> Found | None:
        """Return what a hook finds; one of your own may return the value alone."""
        found = self._ask(hook, group)
        return found if found is None or isinstance(found, Found) else Found(f"{hook.__name__} of {group.name}", found)

    def _camera_notes(self, group: h5py.Group, specs: Mapping[str, ColumnSpec], unused: Sequence[str]) -> Iterator[str]:
        """Yield a note for each depth and mask that is no column by default, and for each EXIF orientation."""
        for path in unused if self.columns is None else ():
            if not path.startswith(self.copies) and (reason := left_out(group, path)):
                yield f"{path} is not converted by default: {reason}"
        for key, spec in specs.items():
            turned = 1 if "flip" in spec.model_fields_set else orientation(find_dataset(group, spec.parts[0].source))
            if turned != 1:
                flip = _FLIPS.get(turned)
                yield (
                    f"{key}: the frames are stored as they are, without their EXIF orientation {turned}; "
                    + (f"`flip: {flip}` turns them upright" if flip else "robotrove cannot turn them upright")
                    + ", `flip: none` ends this note"
                )

    @staticmethod
    def _ask(hook: Callable[[h5py.Group], Any], group: h5py.Group) -> Any:
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


def _part(columns: Mapping[str, Column], length: int, group: FlatGroup) -> tuple[dict[str, Column], int]:
    """Return the rows of an episode that lies end to end with others, and their number."""
    if not group.rows.stop <= group.total == length:
        text = f"the columns of {group.name} have {length} rows, the flags that end its episodes have {group.total}"
        raise EpisodeRejected("unequal_lengths", text)
    return {name: column.take(np.asarray(group.rows)) for name, column in columns.items()}, len(group.rows)


def _check_stored(group: h5py.Group, specs: Mapping[str, ColumnSpec], length: int, files: MutableSet[Path]) -> None:
    for part in (part for spec in specs.values() for part in spec.parts):
        dataset = find_dataset(group, part.source)
        if not stores_all_rows(dataset):
            first = part.span(len(dataset)).start + (group.rows.start if isinstance(group, FlatGroup) else 0)
            check_rows(dataset, first, first + length, files)


def _whole(value: Any) -> int | None:
    """Return a number of rows, None without one, -1 for what is none."""
    if value is None:
        return None
    numbers = _entries(value)
    is_count = len(numbers) == 1 and _is_number(numbers[0]) and float(numbers[0]).is_integer()
    return max(-1, int(numbers[0])) if is_count else -1


def camera_columns(group: h5py.Group, folders: Sequence[str], flip: Flip = "none") -> dict[str, ColumnSpec]:
    """Return a column for every uint8 (T, H, W, C) or (T, C, H, W) dataset below the folders that shows pictures.

    `obs/front_rgb` becomes `observation.images.front`, `obs/left/wrist` `observation.images.left.wrist`.
    A name that is taken already keeps its whole path.

    Args:
        group: The episode.
        folders: Paths of groups to look into; names of the first ones win.
        flip: How the frames differ from upright ones.
    """
    columns: dict[str, ColumnSpec] = {}
    for folder in folders:
        parent = lookup(group, folder)
        if not isinstance(parent, h5py.Group):
            continue
        for path, dataset in searched_datasets(parent).items():
            source = f"{folder}/{path}"
            if dataset.dtype == np.uint8 and is_camera(dataset) and not depth_or_mask(group, source):
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
    folder = lookup(parent, path)
    if not isinstance(folder, h5py.Group):
        return []
    with reading(f"group {folder.name}"):
        names = sorted(map(object_name, folder), key=natural_key)
    return [name for name in names if _may_be_group(folder, name)]


def _may_be_group(folder: h5py.Group, name: str) -> bool:
    try:
        found = lookup(folder, name)
    except EpisodeRejected:
        return True
    return found is None or isinstance(found, h5py.Group)


def found_at(group: h5py.Group, place: str) -> Found | None:
    """Return what an episode has at a place, None if nothing.

    Args:
        group: The episode.
        place: `attr:NAME` or `dataset:PATH`. Of a dataset with rows, texts and vectors (T,) of numbers are read whole,
            others give their last row.
    """
    kind, _, name = place.partition(":")
    if kind == "attr":
        if name not in group.attrs:
            return None
        names = h5py.check_enum_dtype(group.attrs.get_id(name).dtype)
        return Found(f"attribute {name!r} of {group.name}", group.attrs[name], names)
    item = lookup(group, name)
    if not isinstance(item, h5py.Dataset):
        return None
    value = item[()] if not item.shape else _rows(group, item)
    return Found(f"dataset {name!r} of {group.name}", value, h5py.check_enum_dtype(item.dtype))


def _rows(group: h5py.Group, dataset: h5py.Dataset) -> Array:
    rows = rows_of(group, dataset)
    first = rows.start if dataset.ndim == 1 else max(rows.start, rows.stop - 1)
    if not stores_all_rows(dataset):
        check_rows(dataset, first, rows.stop)
    values: Array = dataset[first : rows.stop]
    return values


def texts(value: Any) -> list[str] | None:
    """Return the texts of a value that are not empty, None if it is no text; surrogates stand for undecodable bytes."""
    entries = _entries(value)
    if not all(isinstance(entry, str | bytes) for entry in entries):
        return None
    found = (entry.decode(errors="surrogateescape") if isinstance(entry, bytes) else entry for entry in entries)
    return [stripped for entry in found if (stripped := entry.rstrip("\0").strip())]


def _entries(value: Any) -> list[Any]:
    """Return the entries of an array in order, or the one that a value is, as Python has them; nothing has none."""
    if value is None or isinstance(value, h5py.Empty):
        return []
    array = value if isinstance(value, np.ndarray | np.generic) else np.asarray(value, dtype=object)
    return np.ravel(array).tolist()


def text(value: Any) -> str | None:
    """Return the first text of a value, None if it has none."""
    return next(iter(texts(value) or ()), None)


def _instructions(value: Any) -> list[str] | None:
    """Return the texts of a value, or those of the JSON list that it is."""
    found = texts(value)
    if found and len(found) == 1 and found[0].startswith("["):
        with suppress(ValueError):
            listed = texts(json.loads(found[0]))
            return found if listed is None else listed
    return found


def check_choice(where: str, value: object, choices: Sequence[str]) -> None:
    """Refuse an option of a layout that is none of its choices."""
    if value not in choices:
        raise UsageError(where, f"{value!r}{nearest(str(value), choices)}", "one of " + ", ".join(choices))


def json_attribute(group: h5py.Group, name: str) -> dict[str, Any]:
    """Return a JSON object kept in an attribute; empty if it is missing or broken."""
    try:
        value = json.loads(text(group.attrs.get(name, "")) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def rate(value: Any) -> float | None:
    """Return a number of frames per second, also from a text such as `30 Hz` or `30000/1001`; None if it is none.

    An array counts if all its entries are equal.
    """
    said = texts(value)
    if said is None:
        numbers = {float(entry) if _is_number(entry) else math.nan for entry in _entries(value)}
    else:
        numbers = {_quotient(*found.groups()) if (found := _RATE.fullmatch(entry)) else math.nan for entry in said}
    number = numbers.pop() if len(numbers) == 1 else math.nan
    return number if 0 < number < math.inf else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)


def _quotient(numerator: str, denominator: str | None) -> float:
    divisor = float(denominator or 1)
    return float(numerator) / divisor if divisor else math.nan


def flag(value: Any, threshold: float | None = None, names: Mapping[str, int] | None = None) -> bool | None:
    """Return a label as bool, None if it is missing or says neither; an array counts by its last entry.

    Args:
        value: The label: bool, text, number, or an array of them.
        threshold: Smallest number that says success; without it 1 does, and 0 says failure.
        names: Names of an enum's numbers; what they say counts.
    """
    if not (entries := _entries(value)):
        return None
    last = entries[-1]
    if names is not None:
        return next((_WORDS.get(name.lower()) for name, number in names.items() if number == last), None)
    if isinstance(last, bool):
        return last
    word = text(last)
    try:
        number = float(last if word is None else word)
    except (TypeError, ValueError):
        return None if word is None else _WORDS.get(word.lower())
    if threshold is None:
        return bool(number) if number in (0, 1) else None
    return None if math.isnan(number) else number >= threshold
