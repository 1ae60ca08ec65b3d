"""Duplicates: episodes that several input datasets share, found by their recordings, or else by their rows."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UsageError, naming_dataset, printable
from ...core.features import DEFAULT_FEATURES, LISTS, vectors
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_info import marked
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import ProvenanceRow, has_origins, origins
from ...formats.lerobot.features.feature_kind import stat_shapes
from ...formats.lerobot.features.text import Text
from ...manifests.run_info import Skipped, why_skipped

Place: TypeAlias = tuple[int, int]  # number of a dataset, position of an episode in it

_MOST_SHOWN = 10
_RANGE = ("min", "max")  # exact in float32, whichever tool computed them


@dataclass(frozen=True, slots=True)
class _Recorded:
    """Rows of a recording that an episode consists of, and the second digest of the recording."""

    place: Place
    content: str | None
    first: int
    last: int


@dataclass(slots=True)
class _Groups:
    """Episodes that may be the same.

    Attributes:
        recorded: By recording, the episodes that come from it.
        origins: The recording of each episode, where it is known.
        alike: By length, tasks and ranges of values, other episodes and those that may be the same.
    """

    recorded: dict[tuple[str, str], list[_Recorded]] = field(default_factory=lambda: defaultdict(list))
    origins: dict[Place, tuple[str, str]] = field(default_factory=dict)
    alike: dict[int, list[Place]] = field(default_factory=lambda: defaultdict(list))


def duplicates(folders: Sequence[Path], annotations: Mapping[str, str]) -> list[list[Skipped]]:
    """Return, for each dataset, its episodes that a dataset before it has too.

    Two episodes are the same if they have rows of the same recording in common; its second digest decides, or that of
    the rows where one of them has none. Without a recording the rows decide: numbers and texts of tasks. They are read
    only of episodes that agree in length, tasks, and smallest and largest values, each once and in bounded memory.

    Args:
        folders: The datasets, with the same features.
        annotations: Columns with numbers of texts, see `DatasetInfo.annotations`.
    """
    states = [os.stat(folder) for folder in folders]
    places = [(state.st_dev, state.st_ino) for state in states]
    firsts = {number: places.index(place) for number, place in enumerate(places)}
    distinct = [number for number, first in firsts.items() if first == number]
    twins: dict[Place, Place] = {}
    if len(distinct) > 1:
        groups = _groups({number: folders[number] for number in distinct}, annotations)
        digests = _digests(folders, groups, annotations)
        twins = dict(_twins(groups, digests))
    found: list[list[Skipped]] = [[] for _ in folders]
    if len(distinct) == len(folders) and not twins:
        return found
    numbers, lengths = [], []
    for folder in folders:
        with naming_dataset(folder):
            dataset = open_dataset(folder)
            numbers.append(dataset.episode_numbers.tolist())
            lengths.append(dataset.lengths.tolist())
    again = [(number, first) for number, first in firsts.items() if number != first]
    twins |= {(number, at): (first, at) for number, first in again for at in range(len(lengths[number]))}
    for (number, at), (before, twin) in sorted(twins.items()):
        found[number].append(Skipped(at, numbers[number][at], lengths[number][at], before, numbers[before][twin]))
    return found


def refuse_duplicates(folders: Sequence[Path], found: Sequence[Sequence[Skipped]]) -> None:
    """Refuse datasets that share episodes.

    Raises:
        UsageError: Naming the datasets and the first episodes, and what decides.
    """
    shared = [(folders[number], twin) for number, own in enumerate(found) for twin in own]
    if not shared:
        return
    lines = [
        printable(f"{folder}, episode {twin.episode}: {why_skipped(twin, folders)}")
        for folder, twin in shared[:_MOST_SHOWN]
    ]
    lines += [f"and {len(shared) - _MOST_SHOWN} more"] if len(shared) > _MOST_SHOWN else []
    raise UsageError(
        "input datasets",
        f"episodes that a dataset before has too: {len(shared)}\n    " + "\n    ".join(lines),
        "each episode once",
        "remove a dataset; --on-duplicate skip rejects these episodes, --on-duplicate keep takes them too (in a "
        "pipeline: on_duplicate: skip of the block)",
    )


def _groups(folders: Mapping[int, Path], annotations: Mapping[str, str]) -> _Groups:
    groups = _Groups()
    unknown = False
    for number, folder in folders.items():
        with naming_dataset(folder):
            dataset = open_dataset(folder)
            known: Iterator[ProvenanceRow] = origins(dataset) if has_origins(dataset) else iter(())
            for at, (_, origin) in enumerate(zip_longest(dataset.lengths, known)):
                if origin is None or not origin.source_digest:
                    unknown = True
                    continue
                key = groups.origins[number, at] = (origin.source_digest, origin.source_key)
                recorded = _Recorded((number, at), origin.content_digest, origin.first_row, origin.last_row)
                groups.recorded[key].append(recorded)
    if unknown:
        for place, alike in _alike(folders, annotations):
            groups.alike[alike].append(place)
    return groups


def _alike(folders: Mapping[int, Path], annotations: Mapping[str, str]) -> Iterator[tuple[Place, int]]:
    """Yield each episode with a number that is the same for episodes with equal length, tasks and ranges of values."""
    bases: dict[int, list[int]] = {}
    ranges: dict[int, NDArray[np.int64]] = {}
    for number, folder in folders.items():
        with naming_dataset(folder):
            dataset = open_dataset(folder)
            entries = (row for _, row in dataset.entries(["length", "tasks"]))
            bases[number] = [hash((row["length"], *sorted(map(str, row["tasks"] or ())))) for row in entries]
            ranges[number] = _ranges(dataset, annotations)
    usable = np.all([(found != 0).all(axis=0) for found in ranges.values()], axis=0)  # known in every episode of all
    for number, found in ranges.items():
        for at, (base, row) in enumerate(zip(bases[number], found[:, usable], strict=True)):
            yield (number, at), hash((base, row.tobytes()))


def _compared(dataset: Dataset, annotations: Mapping[str, str]) -> list[str]:
    """Return the columns of numbers that two episodes must have alike."""
    aside = DEFAULT_FEATURES.keys() | _pointing(dataset, annotations).keys()
    return sorted(key for key in vectors(dataset.features) if key not in aside)


def _pointing(dataset: Dataset, annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the columns with numbers of texts, and the index column of their list."""
    features = marked(dataset.features, annotations)
    return {key: feature.points_into for key, feature in features.items() if feature.points_into}


def _ranges(dataset: Dataset, annotations: Mapping[str, str]) -> NDArray[np.int64]:
    """Return a number for the smallest and largest values of each column and episode, 0 where they are not known."""
    keys = [key for key in _compared(dataset, annotations) if len(dataset.features[key].shape) == 1]
    names = [f"stats/{key}/{name}" for key in keys for name in _RANGE]
    shapes = {name: shape for name, shape in stat_shapes(dataset.features).items() if name in names}
    found = np.zeros((len(dataset.lengths), len(keys)), np.int64)
    first = 0
    for lengths, columns in dataset.stat_batches(shapes):
        for at, key in enumerate(keys):
            if any(f"stats/{key}/{name}" not in columns for name in _RANGE):
                continue
            values = np.concatenate([columns[f"stats/{key}/{name}"] for name in _RANGE], axis=1).astype(np.float32)
            values += 0  # makes -0.0, which other sums give, the same value as 0.0
            for row in np.flatnonzero(np.isfinite(values).all(axis=1)).tolist():
                found[first + row, at] = hash(values[row].tobytes()) or 1
        first += len(lengths)
    return found


def _digests(folders: Sequence[Path], groups: _Groups, annotations: Mapping[str, str]) -> dict[Place, bytes]:
    """Return the digests of the rows of all episodes that nothing else tells apart."""
    wanted: dict[int, set[int]] = defaultdict(set)
    for group in groups.recorded.values():
        if not all(recorded.content for recorded in group):
            _want(wanted, [recorded.place for recorded in group])
    for places in groups.alike.values():
        if not all(place in groups.origins for place in places):
            _want(wanted, places)
    found: dict[Place, bytes] = {}
    for number, positions in wanted.items():
        with naming_dataset(folders[number]):
            digester = _Digester(open_dataset(folders[number]), annotations)
            for at, location in enumerate(digester.dataset.episodes()):
                if at in positions:
                    found[number, at] = digester.digest(location)
    return found


def _want(wanted: Mapping[int, set[int]], places: Collection[Place]) -> None:
    if len({number for number, _ in places}) > 1:
        for number, at in places:
            wanted[number].add(at)


class _Digester:
    """Digests of the rows of a dataset's episodes: numbers, and the texts that they stand for."""

    def __init__(self, dataset: Dataset, annotations: Mapping[str, str]) -> None:
        self.dataset = dataset
        self._numbers = _compared(dataset, annotations)
        self._texts = sorted(key for key, kind in dataset.kinds.items() if isinstance(kind, Text))
        self._lists = {"task_index": _hashes(dataset.tasks)}
        for key, name in sorted(_pointing(dataset, annotations).items()):
            is_task = name == LISTS["tasks"]
            self._lists[key] = self._lists["task_index"] if is_task else _hashes(dataset.subtasks)

    def digest(self, at: EpisodeLocation) -> bytes:
        """Return the digest of an episode: that of each column, as batches may be cut anywhere."""
        digests = {key: blake2b(digest_size=16) for key in [*self._numbers, *self._texts, *self._lists]}
        for batch in self.dataset.rows(list(digests), at):
            for key in self._numbers:
                digests[key].update(batch[key].astype(self.dataset.features[key].values_dtype).tobytes())
            for key in self._texts:
                digests[key].update(_hashes(batch[key].ravel().tolist()).tobytes())
            for key, known in self._lists.items():
                digests[key].update(known.take(batch[key], mode="clip").tobytes())
        return b"".join(digest.digest() for digest in digests.values())


def _hashes(texts: Sequence[str]) -> NDArray[np.int64]:
    digests = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts or [""])
    return np.frombuffer(b"".join(digests), np.int64)


def _twins(groups: _Groups, digests: Mapping[Place, bytes]) -> Iterator[tuple[Place, Place]]:
    """Yield each episode that a dataset before has too, with the first such."""
    for group in groups.recorded.values():
        for at, recorded in enumerate(group):
            for before in group[:at]:
                if before.place[0] < recorded.place[0] and _is_same(before, recorded, digests):
                    yield recorded.place, before.place
                    break
    for places in groups.alike.values():
        seen: dict[tuple[bool, bytes], Place] = {}
        for place in places:
            if (digest := digests.get(place)) is None:
                continue
            is_recorded = place in groups.origins
            kinds = (False,) if is_recorded else (False, True)  # of two recordings the digests above decide
            known = [seen[kind, digest] for kind in kinds if (kind, digest) in seen]
            if known and min(known)[0] < place[0]:
                yield place, min(known)
            seen.setdefault((is_recorded, digest), place)


def _is_same(before: _Recorded, after: _Recorded, digests: Mapping[Place, bytes]) -> bool:
    if before.content and after.content:
        return before.content == after.content and before.first <= after.last and after.first <= before.last
    return digests[before.place] == digests[after.place]
