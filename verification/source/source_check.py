"""Source check: every episode of a dataset against its recording, and the recording against a second opinion on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...core.columns import Array, Column
from ...core.episode import Episode
from ...core.errors import Damaged, RobotroveError
from ...core.features import cameras, vectors
from ...core.source_file import read_files
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_edit import edited
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ..audit.hdf5_recording import HDF5Recording
from ..audit.pictures import Picture
from ..audit.second_opinion import CastLoss, SecondOpinion
from .camera_check import CameraCheck, sampled
from .episode_check import EpisodeCheck
from .recordings import Note, Pair, Problems, Recordings, SourceEpisodes, SourceProblem

# Called with the episodes compared so far, and those in all.
Progress: TypeAlias = Callable[[int, int], None]
_Tell: TypeAlias = Callable[[str, int | None], None]
_Difference: TypeAlias = tuple[str, int | None]  # a sentence, and the row that it is about

_HELD_EPISODES = 64  # of a file that is open: pyfive keeps the headers of all objects that it met


@dataclass(slots=True)
class Audited:
    """Extent and result of the second opinion.

    Attributes:
        episodes: Episodes with a second opinion.
        without: Episodes without one: no mapping says where their columns are, as their source is not robotrove's.
        pyfive: Datasets that pyfive read.
        h5py: Datasets that h5py read, because pyfive cannot.
        losses: Columns that the cast to the dataset's dtype changed.
    """

    episodes: int = 0
    without: int = 0
    pyfive: int = 0
    h5py: int = 0
    losses: dict[str, CastLoss] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """Result of the comparison of episodes with their recordings.

    Attributes:
        problems: The first 20.
        n_problems: Number of all; each is about one feature of one episode, or one file.
        episodes: Episodes compared.
        frames: Video frames compared.
        foreign: Episodes of the dataset that come from another run, which were not compared.
        audited: Second opinion on the recordings.
        dropped: Episodes of the run that an edit dropped.
    """

    problems: tuple[SourceProblem, ...]
    n_problems: int
    episodes: int
    frames: int
    foreign: int
    audited: Audited = field(default_factory=Audited)
    dropped: int = 0

    @property
    def ok(self) -> bool:
        """True if no difference was found."""
        return not self.n_problems


def check_source(
    dataset: Path, recordings: Recordings, *, deep: bool = False, progress: Progress = lambda done, total: None
) -> SourceReport:
    """Compare a dataset with the HDF5 files that a run made it from.

    Three values are compared. What the recording holds by the second opinion must equal what the reader gives, before
    any step. What the steps make of that must equal the dataset after the cast to the stored dtype: vectors, texts and
    pictures exactly; of each video the first frame, the last and three between must show their source within what the
    encoder loses.

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
    videos = CameraCheck(recordings.video, dataset.fps, deep=deep)
    check = EpisodeCheck(dataset, videos)
    problems = Problems()
    pairs = sources.pairs(problems.note)
    audit = _Audit(pairs, problems.note, deep=deep)
    episodes = 0
    for ep, pair in sources.opened(pairs, problems.note, (audit, *recordings.steps)):
        made = ep if ep.rejection else edited(ep, sources.edits(pair))
        for feature, row, message in check.differences(made, pair.stored, pair.origin):
            problems.note(pair.problem(message, feature, row))
        episodes += 1
        progress(episodes, len(pairs))
    counts = problems.count, episodes, videos.frames, sources.foreign
    return SourceReport(tuple(problems.kept), *counts, audit.audited, sources.dropped)


class _Audit:
    """First step of all: compares the reader's columns with the second opinion, pictures when they are read.

    Args:
        pairs: The episodes.
        note: Told of each problem.
        deep: Compare every picture that is read; otherwise five of each stretch.
    """

    def __init__(self, pairs: Sequence[Pair], note: Note, *, deep: bool) -> None:
        self.audited = Audited()
        self._pairs = {pair.row.index: pair for pair in pairs}
        self._note = note
        self._deep = deep

    def run(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Yield the episodes of a file; their cameras tell of a wrong picture as soon as it is read."""
        for _, group in groupby(enumerate(episodes), key=lambda item: item[0] // _HELD_EPISODES):
            with ExitStack() as stack:
                recording: HDF5Recording | None = None
                for _, ep in group:
                    pair = self._pairs[ep.origin.row]
                    if ep.rejection is None and pair.row.mapping:
                        recording = recording or stack.enter_context(HDF5Recording(Path(pair.row.path)))
                        recording.allow(file for file, *_ in read_files(pair.row.files))
                        ep = self._compared(ep, pair, recording)
                    elif ep.rejection is None:
                        self.audited.without += 1
                    yield ep
            read = Counter(recording.readers.values() if recording else ())
            self.audited.pyfive += read["pyfive"]
            self.audited.h5py += read["h5py"]

    def _compared(self, ep: Episode, pair: Pair, recording: HDF5Recording) -> Episode:
        row = pair.row
        self.audited.episodes += 1

        def tell(feature: str, message: str, at: int | None = None) -> None:
            self._note(pair.problem(f"second opinion: {message}", feature, at))

        try:
            opinion = SecondOpinion(recording, row.key, row.mapping, row.start, row.source_length)
            for feature, message in opinion.problems():
                tell(feature, message)
        except RobotroveError as exc:
            tell("", _in_words(exc))
            return ep
        for key in sorted(ep.columns.keys() ^ opinion.specs.keys()):
            tell(key, "the reader gives no such column" if key in opinion.specs else "the mapping has no such column")
        pictures, numbers = cameras(ep.features), vectors(ep.features)
        for key in filter(ep.columns.__contains__, opinion.columns):
            column = ep.columns[key]
            if column.length != opinion.length:
                tell(key, _unequal(f"{column.length} rows", f"{opinion.length} rows"))
            elif key in pictures:
                ep = ep.with_column(key, _AuditedCamera(column, opinion, key, partial(tell, key), deep=self._deep))
            else:
                compare = self._numbers if key in numbers else _texts
                try:
                    for message, at in compare(column, opinion, key):
                        tell(key, message, at)
                except RobotroveError as exc:
                    tell(key, _in_words(exc))
        return ep

    def _numbers(self, column: Column, opinion: SecondOpinion, key: str) -> Iterator[_Difference]:
        held = opinion.recorded(key)
        given = [part.read() for part in column.as_recorded()]
        cast = opinion.cast(key, held)
        values = [*zip(given, held, strict=True), (column.read(), cast)] if len(given) == len(held) else []
        if not values:
            yield _unequal(f"{len(given)} datasets", f"{len(held)} datasets"), None
        found = next(filter(None, (_first_difference(mine, theirs) for mine, theirs in values)), None)
        if found:
            yield found
        loss, problem = opinion.loss(key, held, cast)
        if problem:
            yield problem, None
        if loss.entries:
            self.audited.losses[key] = loss.plus(self.audited.losses.get(key, CastLoss()))


def _texts(column: Column, opinion: SecondOpinion, key: str) -> Iterator[_Difference]:
    for row, (given, held) in enumerate(zip(column.read().ravel().tolist(), opinion.texts(key), strict=True)):
        if given != held:
            yield _unequal(repr(given), repr(held)), row
            return


def _first_difference(given: Array, held: Array) -> _Difference | None:
    """Return how numbers (n, …) of the reader differ from those of the recording; NaN equals NaN."""
    given, held = given.reshape(len(given), -1), held.reshape(len(held), -1)
    if given.shape != held.shape or given.dtype != held.dtype.newbyteorder("="):
        return _unequal(f"{given.dtype} {given.shape}", f"{held.dtype} {held.shape}"), None
    wrong = (given != held) & ~((given != given) & (held != held))
    if not wrong.any():
        return None
    row, entry = (int(axis[0]) for axis in np.nonzero(wrong))
    more = f" ({np.count_nonzero(wrong.any(axis=1))} rows differ)"
    values = (repr(numbers[row, entry].item()) for numbers in (given, held))
    return f"entry {entry}: {_unequal(*values)}{more}", row


def _unequal(given: str, held: str) -> str:
    return f"the reader gives {given}, the recording holds {held}"


def _in_words(exc: RobotroveError) -> str:
    return f"{exc.where} {exc.found}"


class _AuditedCamera(Column):
    """A camera before all steps; tells of the first of its pictures that is not the recording's.

    Args:
        base: The reader's column.
        opinion: Second opinion on the episode.
        key: The feature.
        tell: Takes a sentence and a row.
        deep: Compare every picture that is read; otherwise five of each stretch.
    """

    def __init__(self, base: Column, opinion: SecondOpinion, key: str, tell: _Tell, *, deep: bool) -> None:
        super().__init__(base.feature, base.length)
        self._base, self._opinion, self._key = base, opinion, key
        self._tell = tell
        self._deep = deep
        self._told = False

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """Yield the frames start..stop of the reader."""
        held = self._held(start, stop)
        row, at, before = start, next(held, None), None
        for batch in self._base.batches(start, stop):
            for frame in batch:
                if at is not None and at[0] == row and not self._told:
                    self._compare(row, frame, at[1], before)
                    before, at = (row, frame, at[1]), next(held, None)
                row += 1
            yield batch

    def _held(self, start: int, stop: int) -> Iterator[tuple[int, Picture]]:
        """Yield the rows to compare, with the recording's picture: each sampled row and the next."""
        try:
            for first, last in sampled(start, stop, deep=self._deep):
                first, last = max(first, start), min(last + 1, stop)
                yield from enumerate(self._opinion.pictures(self._key, first, last), first)
                start = last
        except RobotroveError as exc:
            self._wrong(_in_words(exc), None)

    def _compare(self, row: int, frame: Array, held: Picture, before: tuple[int, Array, Picture] | None) -> None:
        if problem := held.difference(frame):
            self._wrong(f"the reader gives {problem}", row)
        elif before is not None and before[0] == row - 1:
            _, earlier, picture = before
            if picture.is_rather(frame, held) or held.is_rather(earlier, picture):
                self._wrong(f"the reader gives rows {row - 1} and {row} shifted by one", row)

    def _wrong(self, message: str, row: int | None) -> None:
        if not self._told:
            self._tell(message, row)
        self._told = True
