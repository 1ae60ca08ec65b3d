"""hdf5_reader: episodes from HDF5 files."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ...core.episode import Episode, EpisodeOrigin, Rejection, Scanned
from ...core.errors import EpisodeRejected, UsageError, nearest, of_episode
from ...core.source_file import PathMark, PathText, Reach, SourceFile, files_below, is_remote, read_files
from ...formats.hdf5 import LAYOUTS
from ...formats.hdf5.hdf5_file import HDF5_SUFFIXES, natural_key, open_hdf5, source_digests
from ...formats.hdf5.layout import Layout
from ...formats.hdf5.mapping import ColumnSpec
from ...formats.hdf5.stored_rows import check_rows
from ...hub.source_files import find, source_file
from ...manifests.manifest import EpisodeRow
from ..reader import Reader


class Hdf5Reader(Reader):
    """Reads the episodes of HDF5 files, lazily.

    Args:
        files: Files, folders (the *.hdf5 and *.h5 in them and below, .HDF5 and .H5 too) or glob patterns (** goes
            deeper), relative to the pipeline file; hf://datasets/OWNER/NAME[@REVISION]/PATH for files on the
            Hub, s3://BUCKET/PATH and other protocols for files that fsspec reads (a folder there: not deeper). Each
            file is fetched when it is needed.
        layout: Layout of the demonstrations in the files.
        columns: Feature name to its source in the file, instead of the layout's defaults.
        task: Instruction for episodes without one in the file.
        fps: Frames per second for episodes without a rate in the file.
        follow: More folders that recordings may take data from, through links, virtual datasets and raw files; by
            default only their own. Never for fetched recordings.
        options: Further arguments of the layout (see `robotrove schema`).
    """

    name = "hdf5_reader"

    def __init__(
        self,
        *,
        files: list[Annotated[str, PathMark(is_pattern=True)]],
        layout: str,
        columns: dict[str, ColumnSpec] | None = None,
        task: str | None = None,
        fps: int | None = None,
        follow: list[PathText] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.files = files
        self.layout = layout
        self.columns = columns
        self.task = task
        self.fps = fps
        self.follow = follow
        self.options = options
        if follow and all(map(is_remote, files)):
            raise UsageError("source.follow", "all recordings are fetched", "recordings of this machine")
        self._check_options()
        self._layout()  # its own errors are reported before any file is touched

    def _check_options(self) -> None:
        types = get_type_hints(LAYOUTS[self.layout].__init__)
        known = sorted(types.keys() - {"columns", "task", "fps", "return"})
        for name, value in (self.options or {}).items():
            if name not in known:
                found = f"{name!r} is not an option{nearest(name, known)}"
                raise UsageError(f"source.options of layout {self.layout}", found, "one of " + ", ".join(known))
            try:
                TypeAdapter(types[name]).validate_python(value)
            except ValidationError as exc:
                error = exc.errors()[0]
                near = nearest(str(value), get_args(types[name])) if error["type"] == "literal_error" else ""
                raise UsageError(f"source.options.{name}: {value!r}", error["msg"] + near) from exc

    def _layout(self) -> Layout:
        layout: Layout = LAYOUTS[self.layout](
            columns=self.columns, task=self.task, fps=self.fps, **(self.options or {})
        )
        return layout

    def find(self) -> list[SourceFile]:
        """See the base class."""
        found: dict[Path, SourceFile] = {}
        for pattern in self.files:
            if is_remote(pattern):
                files = {str(file.path): file for file in find(pattern, HDF5_SUFFIXES)}
            else:
                files = {match: SourceFile(Path(os.path.abspath(match))) for match in _matches(pattern)}
            if not files:
                raise UsageError("source.files", f"{pattern!r} matches no file", "HDF5 files", _instead(pattern))
            found |= {files[name].path: files[name] for name in sorted(files, key=natural_key)}
        return list(found.values())

    def scan(self, file: SourceFile) -> Iterator[Scanned]:
        """See the base class; the file is opened with HDF5's lock."""
        layout = self._layout()
        try:
            with open_hdf5(file.open(), locking=True, reach=self._reach(file)) as opened:
                for key in layout.list(opened):
                    yield _fetched_alone(layout.scan(opened, key), file)
        except EpisodeRejected as exc:
            yield _fetched_alone(Scanned("", "", None, Rejection.of(exc)), file)

    def episodes(self, file: SourceFile, rows: Sequence[EpisodeRow]) -> Iterator[Episode]:
        """See the base class."""
        try:
            _doubtful({rows[0].source: file})
            opened = open_hdf5(file.path, locking=False, reach=self._reach(file))
        except EpisodeRejected as exc:
            yield from (_unusable(row, exc) for row in rows)
            return
        with opened:
            layout = self._layout()
            for row in rows:
                check = self._check(file, row)
                try:
                    check()
                    ep = layout.open(opened, row.key, row.mapping)
                except (EpisodeRejected, MemoryError) as exc:
                    ep = _unusable(row, of_episode(exc, "opening it"))
                origin = replace(ep.origin, row=row.index, digest=row.digest)
                ep = ep.planned(origin, check)
                self.stat_update("episodes")
                yield ep
                ep.close()

    def _check(self, file: SourceFile, row: EpisodeRow) -> _Check:
        others = {f"{other.path}, with data of {row.source},": other for other in self.other_files_of(row)}
        return _Check(row, {row.source: file, **others}, partial(self._digests, file, row))

    def _digests(self, file: SourceFile, row: EpisodeRow) -> tuple[str, str]:
        """Return the digests of an episode as its files are now, the second only if planning needed it."""
        layout = self._layout()
        with open_hdf5(file.path, locking=False, reach=self._reach(file), is_fresh=True) as opened:
            digest, _ = source_digests(layout.group(opened, row.key), check_rows)
            return digest, layout.open(opened, row.key, row.mapping).content_digest() if row.content else ""

    def _reach(self, file: SourceFile) -> Reach | None:
        return (
            Reach.of(file.path, self.follow or (), is_fetched=bool(file.origin)) if self.follow or file.origin else None
        )

    def file_of(self, row: EpisodeRow) -> SourceFile:
        """See the base class."""
        return self._source_file(Path(row.path), row.size, row.mtime_ns, row.inode, row.ctime_ns)

    def other_files_of(self, row: EpisodeRow) -> list[SourceFile]:
        """See the base class."""
        return [self._source_file(*file) for file in read_files(row.files)]

    def _source_file(self, path: Path, *planned: int) -> SourceFile:
        return (source_file if any(map(is_remote, self.files)) else SourceFile)(path, *planned)


def _matches(pattern: str) -> list[str]:
    expanded = os.path.expanduser(pattern)
    if os.path.isdir(expanded):
        return [str(path) for path in files_below(Path(expanded), HDF5_SUFFIXES)]
    # A plain name is taken as it is, so that a missing file is one rejection, not a failed run.
    matches = glob.glob(expanded, recursive=True) if glob.has_magic(expanded) else [expanded]
    return matches or ([expanded] if os.path.exists(expanded) else [])


def _instead(pattern: str) -> str:
    """Return the pattern with its suffix in the other case if that matches files, else a command that looks."""
    stem, suffix = os.path.splitext(pattern)
    other = stem + suffix.swapcase()
    return f"files: [{other!r}]" if suffix and not is_remote(pattern) and _matches(other) else f"ls {pattern}"


def _unusable(row: EpisodeRow, why: EpisodeRejected) -> Episode:
    origin = EpisodeOrigin(row.path, row.key, row.index, row.digest)
    ep = Episode(id=row.label, text=row.task, length=0, fps=row.fps, columns={}, origin=origin)
    ep.reject(why.reason, why.detail, error=True)
    return ep


def _fetched_alone(scanned: Scanned, file: SourceFile) -> Scanned:
    """Return what was found, with the reason why a file beside a fetched recording is missing."""
    why = scanned.rejection
    if why is None or why.reason != "missing_file" or not file.origin:
        return scanned
    detail = f"{why.detail}; {file.origin} is fetched without other files: download its folder and convert it there"
    return replace(scanned, rejection=replace(why, detail=detail))


class _Check:
    """Check that the data of an episode are those that were planned.

    Inode and ctime tell which files to look into, and only the digests of planning tell: a copy, a changed mode or
    another mount of a network file system give other numbers to the same data.

    Args:
        row: The episode.
        files: Its recording and the other files with its data, by what they are called for people.
        digests: Returns both digests as the files are now.
    """

    def __init__(self, row: EpisodeRow, files: dict[str, SourceFile], digests: Callable[[], tuple[str, str]]) -> None:
        self._row, self._files, self._digests = row, files, digests

    def __call__(self) -> None:
        """Refuse other data.

        Raises:
            EpisodeRejected: source_changed.
        """
        doubtful = {name: self._files[name].measured() for name in _doubtful(self._files)}
        if not doubtful:
            return
        try:
            is_same = self._digests() == (self._row.digest, self._row.content)
        except EpisodeRejected:
            is_same = False  # it could be read when it was planned
        if not is_same:
            found = "other data than when the run was planned, with the same size and time"
            raise EpisodeRejected("source_changed", f"{' or '.join(doubtful)} has {found}")
        self._files |= doubtful


def _doubtful(files: Mapping[str, SourceFile]) -> list[str]:
    """Refuse files that are not as they were planned, and return the names of those that may have other data.

    The keys name them for people.
    """
    doubtful = []
    for name, file in files.items():
        try:
            file.open()
            is_changed = file.is_changed()
            if file.may_differ():
                doubtful.append(name)
        except OSError as exc:
            raise EpisodeRejected("source_changed", f"{name} is missing now: {exc.strerror}") from exc
        if is_changed:
            raise EpisodeRejected("source_changed", f"{name} was changed after the run was planned")
    return doubtful
