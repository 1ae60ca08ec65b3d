"""Second opinion: what a recording holds for each column of an episode, by the mapping in the manifest alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...core.errors import RobotroveError
from .hdf5_recording import HDF5Recording, ObjectPlace, Rows
from .pictures import Picture, decoded, raw

# A cast to float32 that the pipeline did not ask for may change an entry by this much, or by this part of its range.
_CHANGE, _PART_OF_RANGE = 1e-6, 1e-4
# Keys of episodes that lie end to end in the datasets of a group: GROUP[first:stop].
_FLAT_KEY = re.compile(r"(?P<group>.*)\[\d+:\d+\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CastLoss:
    """Effect of a cast on a column: entries that it changed, and the largest change."""

    entries: int = 0
    largest: float = 0.0

    def plus(self, other: CastLoss) -> CastLoss:
        """Return the loss of both."""
        return CastLoss(self.entries + other.entries, max(self.largest, other.largest))


class _Part(NamedTuple):
    """A dataset that a column reads: its place, its first row in the episode, and the entries of its last axis."""

    place: ObjectPlace
    first: int
    entries: tuple[int, int] | None


class SecondOpinion:
    """Values of one episode as its recording holds them.

    Args:
        recording: The recording, open.
        key: Name of the episode in it.
        mapping: JSON of the manifest: `{"columns": {feature: …}, "unused": [path]}`, paths relative to the episode.
        start: First row of the episode in its datasets.
        length: Rows of the episode, before any step.

    Attributes:
        specs: The columns of the mapping.
        columns: Those that can be read, as datasets; `problems` finds them, and tells about the others.
    """

    def __init__(self, recording: HDF5Recording, key: str, mapping: str, start: int, length: int) -> None:
        entry = json.loads(mapping)
        self._recording = recording
        flat = _FLAT_KEY.fullmatch(key)
        try:
            self._group, self._is_flat = recording.find(key), False  # a group may have such a name itself
        except RobotroveError:
            if flat is None:
                raise
            self._group, self._is_flat = recording.find(flat["group"]), True
        self.specs: dict[str, dict[str, Any]] = entry["columns"]
        self._unused = {_tidy(path) for path in entry["unused"]}
        self._start, self.length = start, length
        self.columns: dict[str, list[_Part]] = {}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (feature, sentence) for what the recording has no data for, and (empty, sentence) for what was lost.

        Call it first: it finds the columns.
        """
        for key, spec in self.specs.items():
            try:
                parts = list(self._parts(spec))
                gaps = (self._recording.gap(part.place, part.first, part.first + self.length) for part in parts)
                problem = next(filter(None, gaps), "")
            except RobotroveError as exc:
                problem = f"{exc.where} {exc.found}"
            if problem:
                yield key, problem
            else:
                self.columns[key] = parts
        sources = (source for spec in self.specs.values() for source in _sources(spec))
        known = self._unused | {_tidy(source["from"]) for source in sources}
        for path, place in self._recording.datasets(self._group).items():
            if path not in known:
                lost = f"is a link to nothing ({place})" if isinstance(place, str) else "is a dataset"
                yield "", f"{path} {lost} that the manifest has neither as a column nor as unused: the layout lost it"

    def _parts(self, spec: dict[str, Any]) -> Iterator[_Part]:
        for source in _sources(spec):
            place = self._recording.find(source["from"], self._group)
            shape = self._recording.shape(place)
            rows = range(*slice(*(source.get("rows") or (None, None))).indices(shape[0] if shape else 0))
            if len(rows) < self._start + self.length:
                raise RobotroveError(str(place), f"has {len(rows)} rows, row {self._start + self.length - 1} is wanted")
            if (more := len(rows) - self._start - self.length) and not self._is_part():
                raise RobotroveError(str(place), f"has {more} rows after the last one of the episode")
            entries = source.get("slice")
            yield _Part(place, rows.start + self._start, tuple(entries) if entries else None)

    def _is_part(self) -> bool:
        """True if the episode's key names some rows of a flat file, or an attribute says how many rows count."""
        values = self._recording.attributes(self._group).values()
        numbers = (value[0] for value in values if value.size == 1 and value.dtype.kind in "iuf")
        return self._is_flat or any(number == self.length for number in numbers)

    def recorded(self, key: str) -> list[Rows]:
        """Return the numbers of a column in the source's own dtype, an array (length, …) per dataset."""
        return [self._rows(part) for part in self.columns[key]]

    def _rows(self, part: _Part) -> Rows:
        rows = self._recording.rows(part.place, part.first, part.first + self.length)
        return rows if part.entries is None else rows[..., slice(*part.entries)]

    def cast(self, key: str, recorded: list[Rows]) -> Rows:
        """Return the numbers of `recorded` with the dtype that the mapping gives them: (length, …)."""
        wanted = self.specs[key].get("dtype")
        kinds = {rows.dtype.kind for rows in recorded}
        found = np.dtype(np.int64) if kinds == {"i", "u"} else np.result_type(*(rows.dtype for rows in recorded))
        if wanted is None:
            wanted = {"f": "float32", "b": "bool"}.get(found.kind, "int64")
        target = found if wanted == "keep" else np.dtype(wanted)
        with np.errstate(over="ignore"):
            parts = [rows.astype(target) for rows in recorded]
        if len(parts) == 1:
            return parts[0].reshape(self.length, *(parts[0].shape[1:] or (1,)))
        return np.concatenate([rows.reshape(self.length, -1) for rows in parts], axis=1)

    def loss(self, key: str, recorded: list[Rows], cast: Rows) -> tuple[CastLoss, str]:
        """Return what the cast changed, and a sentence if it changed more than a pipeline may leave undecided."""
        if cast.dtype.kind != "f":
            return CastLoss(), ""
        flat = cast.reshape(self.length, -1)
        exact = np.concatenate([rows.reshape(self.length, -1).astype(np.float64) for rows in recorded], axis=1)
        exact[~np.isfinite(exact)] = np.nan  # these stay what they are
        change = np.nan_to_num(np.abs(flat - exact), posinf=0.0)  # where the cast overflows, the writer refuses the row
        loss = CastLoss(int(np.count_nonzero(change)), float(change.max(initial=0.0)))
        spread = np.fmax.reduce(exact) - np.fmin.reduce(exact)  # of the numbers that are finite
        bad = (change > _CHANGE) & (change > _PART_OF_RANGE * spread)
        if "dtype" in self.specs[key] or not bad.any():
            return loss, ""
        row, entry = (int(axis[0]) for axis in np.nonzero(bad))
        told = f"row {row}, entry {entry}: {exact[row, entry].item()!r} became {flat[row, entry].item()!r}"
        return loss, f"float32 loses its digits ({told}), and the pipeline gives no `dtype:`"

    def texts(self, key: str) -> list[str]:
        """Return the text of each row."""
        (part,) = self.columns[key]
        rows = self._rows(part).tolist()
        return [row.decode("utf-8", "replace") if isinstance(row, bytes) else str(row) for row in rows]

    def pictures(self, key: str, first: int, last: int) -> Iterator[Picture]:
        """Yield the frames first..last of a camera; a row at a time is in memory, or a chunk.

        Raises:
            RobotroveError: If one cannot be decoded.
        """
        spec, (part,) = self.specs[key], self.columns[key]
        order = spec.get("color", "rgb"), spec.get("flip", "none")
        shape, dtype = self._recording.shape(part.place), self._recording.dtype(part.place)
        is_file = dtype.kind in "OSV" or len(shape) == 2
        row = first
        for rows in self._recording.batches(part.place, part.first + first, part.first + last):
            for frame in rows:
                try:
                    yield decoded(_bytes(frame), *order) if is_file else raw(frame, *order)
                except RobotroveError as exc:
                    raise RobotroveError(f"{part.place} row {part.first + row}", exc.found) from exc
                row += 1


def _bytes(row: Any) -> bytes:
    return row.encode(errors="surrogateescape") if isinstance(row, str) else bytes(row)


def _sources(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the datasets of a column, each with its own `from`, `slice` and `rows`."""
    if isinstance(spec["from"], str):
        return [spec]
    return [{"from": source} if isinstance(source, str) else source for source in spec["from"]]


def _tidy(path: str) -> str:
    return "/".join(name for name in path.split("/") if name not in ("", "."))
