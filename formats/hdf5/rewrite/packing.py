"""Plans of new HDF5 files from the episodes of recordings, and their writing: for `split` and `repack`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import escape
from itertools import count, groupby
from pathlib import Path

import h5py
import numpy as np

from ....core.commit import Replacements, is_abandoned
from ....core.errors import EpisodeRejected, UsageError, nearest, not_written
from ....core.source_file import beside
from .. import LAYOUTS
from ..hdf5_file import (
    DAMAGE,
    RENAMED_FROM,
    episode_group,
    file_name,
    lookup,
    natural_key,
    new_hdf5,
    objects,
    open_hdf5,
    reading,
    source_digests,
)
from ..layout import groups, guess_layout
from ..stored_rows import check_rows
from .extras import COUNTS, Extras, read_extras
from .object_copy import ObjectCopy

_LONGEST_NAME = 200  # bytes; file systems take 255


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as the plan sees it.

    Attributes:
        path: The file.
        layout: Name of its layout, None where none fits: its episodes are the groups in its root.
        keys: Paths of its episodes in the order of its layout, without a slash at the ends; empty for the root.
        extras: What belongs to no episode.
        tracks_order: Whether the root keeps the order in which its members were created.
        is_new: Whether it has the format of HDF5 1.8 or later, which attributes above 64 KB need.
    """

    path: Path
    layout: str | None
    keys: tuple[str, ...]
    extras: Extras
    tracks_order: bool
    is_new: bool

    @property
    def left_out(self) -> list[str]:
        """Sentences for people on what no new file will have."""
        return [f"{self.path.name}:{text}" for text in self.extras.left_out]

    @property
    def beside(self) -> tuple[str | None, str]:
        """Layout and text of what its new files have beside episodes; recordings with equal ones may share a file."""
        return self.layout, self.extras.text


@dataclass(frozen=True, slots=True)
class Piece:
    """An episode of a recording, and its place in a new file.

    Attributes:
        recording: The recording.
        key: Path of its group there.
        name: Path of its group in the new file.
    """

    recording: Recording
    key: str
    name: str

    @property
    def label(self) -> str:
        """Name for people."""
        return f"{self.recording.path.name}:/{self.key}"


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write, and its episodes in order."""

    path: Path
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A file after `write`.

    Attributes:
        path: The file.
        state: "written", "kept" if it existed, "failed" if none of its episodes can be read.
        notes: What is not in it as it is in the recordings.
        rejected: Label, reason and detail of the episodes that cannot be read.
        missing: Labels of the episodes that a kept file lacks, or has from another recording.
    """

    path: Path
    state: str
    notes: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str, str], ...] = ()
    missing: tuple[str, ...] = ()


def read_recording(path: Path) -> Recording:
    """Return the episodes of a file.

    Raises:
        EpisodeRejected: If it cannot be read, or has no episodes.
    """
    with open_hdf5(path, locking=True) as file:
        layout = guess_layout(file)
        keys = LAYOUTS[layout]().list(file) if layout else groups(file)
        if not keys:
            raise EpisodeRejected("no_episodes", f"{path} has no known layout, and no groups in its root")
        keys = [key.strip("/") for key in keys]
        with reading(f"the structure of {path}"):
            tracks_order = bool(file["/"].id.get_create_plist().get_link_creation_order())
            is_new = file.id.get_create_plist().get_version()[0] >= 2
            return Recording(path, layout, tuple(keys), read_extras(file, keys), tracks_order, is_new)


def plan_split(recording: Recording, folder: Path, *, prefix: str = "", names: Sequence[str] = ()) -> list[NewFile]:
    """Return a file for each episode: PREFIX, the name of its group, `.hdf5`.

    Args:
        recording: The recording.
        folder: Folder of the new files.
        prefix: Beginning of their names.
        names: Names or paths of the groups to take; empty for all.

    Raises:
        UsageError: If the recording has no such group.
    """
    _check_prefix(prefix)
    known = {part: key for key in recording.keys for part in (key, key.rpartition("/")[2])}
    for name in names:
        if name.strip("/") not in known:
            found = f"{name!r} names no group that the file lists{nearest(name, known)}"
            raise UsageError(str(recording.path), found, "names that `robotrove split FILE --list` shows")
    chosen = {known[name.strip("/")] for name in names} or set(recording.keys)
    taken: set[str] = set()
    files = []
    for key in (key for key in recording.keys if key in chosen):
        stem = prefix + (_file_name(key.rpartition("/")[2]) if key else recording.path.stem)
        name = next(text for text in _numbered(stem) if text not in taken)
        taken.add(name)
        files.append(NewFile(folder / f"{name}.hdf5", (Piece(recording, key, key),)))
    return files


def plan_repack(recordings: Iterable[Recording], folder: Path, *, per_file: int, prefix: str) -> list[NewFile]:
    """Return files PREFIX0.hdf5, PREFIX1.hdf5 … with episodes in the order of the recordings.

    A file ends early where the next episode has another layout, or other attributes on the groups above it. An episode
    keeps its name where it comes after the names before it; else it gets the number after the last, because the order
    of names is the order of episodes.

    Args:
        recordings: The recordings in order.
        folder: Folder of the new files.
        per_file: Most episodes in a file.
        prefix: Beginning of their names.

    Raises:
        UsageError: If several episodes are to share a file, and one is a whole file.
    """
    _check_prefix(prefix)
    packs: list[list[Piece]] = []
    before: tuple[str | None, str] | None = None
    for recording in recordings:
        for key in recording.keys:
            if not key and per_file > 1:
                found = f"is one episode as a whole, as layout {recording.layout} has it"
                raise UsageError(str(recording.path), found, "recordings of several episodes", "use `-e 1`")
            if recording.beside != before or len(packs[-1]) == per_file:
                packs.append([])
                before = recording.beside
            last = packs[-1][-1].name if packs[-1] else None
            packs[-1].append(Piece(recording, key, _name_after(last, key, recording.extras.copied)))
    return [NewFile(folder / f"{prefix}{index}.hdf5", tuple(pieces)) for index, pieces in enumerate(packs)]


def _name_after(last: str | None, key: str, taken: Collection[str]) -> str:
    if last is None or natural_key(key) > natural_key(last):
        return key
    stem = last.rstrip("0123456789")
    number = last[len(stem) :]
    stem = stem if number else f"{last}_"
    return next(name for index in count(int(number or 0) + 1) if (name := f"{stem}{index}") not in taken)


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number}"
        number += 1


def _file_name(name: str) -> str:
    """Return the name of a group as the name of a file: groups may have any name."""
    safe = re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "episode"
    return safe.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _check_prefix(prefix: str) -> None:
    if "/" in prefix or "\0" in prefix:
        raise UsageError(f"--prefix {prefix!r}", "is a path", "the beginning of a file name", "name the folder with -o")


def check_outputs(files: Sequence[NewFile], *, overwrite: bool, others: Iterable[Path] = ()) -> None:
    """Refuse to write over an input, over a file that it needs or over a folder, and beside files of another plan.

    Args:
        files: The new files.
        overwrite: Whether existing files are replaced; else they are kept, and may have no episodes but these.
        others: Existing files that the command may have written with other options.

    Raises:
        UsageError: If a file is in the way.
    """
    pieces = [piece for new in files for piece in new.pieces]
    sources = {os.path.realpath(piece.recording.path) for piece in pieces}
    if overwrite and any(os.path.lexists(new.path) for new in files):
        sources |= {os.path.realpath(file) for file in _needed(pieces)}
    planned = {new.path for new in files}
    for new in files:
        if os.path.realpath(new.path) in sources:
            raise UsageError(
                str(new.path),
                "would replace a recording that is read, or a file that it needs",
                "another output folder, or another --prefix",
            )
        if os.path.isdir(new.path):
            raise UsageError(
                str(new.path), "is a folder", "a new file", "use another output folder, or another --prefix"
            )
        if not overwrite and (unplanned := _kept_names(new) - _known_names(new)):
            raise UsageError(
                str(new.path),
                f"exists, and has /{min(unplanned, key=natural_key)}, which this command would not write there",
                "a file of the same recordings and options",
                "--overwrite replaces it; or use another output folder",
            )
    for path in others:
        if path not in planned and os.path.realpath(path) not in sources:
            raise UsageError(
                str(path),
                "is of another plan: its episodes would be in the folder twice",
                "only files that this command writes",
                "move it away, or use another output folder or another --prefix",
            )


def _kept_names(new: NewFile) -> set[str]:
    """Return the paths of the groups that an existing file has beside its episodes; none if it is unreadable."""
    if any(not piece.name for piece in new.pieces):
        return {""}  # the root is the episode
    folders = {piece.name.rpartition("/")[0] for piece in new.pieces}
    with suppress(EpisodeRejected), open_hdf5(new.path, locking=True) as file:
        return {f"{above}/{name}".lstrip("/") for above in folders for name in groups(file, above or "/")}
    return set()


def _missing(new: NewFile) -> list[str]:
    """Return labels of the episodes that an existing file lacks: all, if its first one is of another recording."""
    kept, first, is_other = _kept_names(new), new.pieces[0], False
    with (
        suppress(EpisodeRejected),
        open_hdf5(first.recording.path, locking=True) as source,
        open_hdf5(new.path, locking=True) as file,
    ):
        places = (source, first.key), (file, first.name)
        one, other = (source_digests(episode_group(*place), check_rows)[0] for place in places)
        is_other = one != other
    # A file without groups is not of this command, and kept whatever it is.
    return [piece.label for piece in new.pieces if is_other or (kept and piece.name not in kept)]


def _known_names(new: NewFile) -> set[str]:
    """Return the paths of the groups that a new file may have where its episodes are."""
    names, extras = [piece.name for piece in new.pieces], new.pieces[0].recording.extras
    paths = [*names, *extras.copied, *extras.lists]
    return {"/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 2)} | {""}


def _needed(pieces: Iterable[Piece]) -> set[Path]:
    """Return the other files in which data of episodes are: behind links, of virtual datasets, and raw ones."""
    found: set[Path] = set()
    for path, group in groupby(pieces, key=lambda piece: piece.recording.path):
        with suppress(EpisodeRejected, *DAMAGE), open_hdf5(path, locking=True) as file:
            for piece in group:
                with suppress(EpisodeRejected):  # which `write` names
                    for item in objects(episode_group(file, piece.key, found), found).values():
                        if isinstance(item, h5py.Dataset):
                            names = [name for name, *_ in item.external or ()]
                            names += [source.file_name for source in item.virtual_sources()] if item.is_virtual else []
                            here = file_name(item)
                            found.update(other for name in names if name != "." and (other := beside(here, name)))
    return found


def write(new: NewFile, *, overwrite: bool = False, progress: Callable[[], None] = lambda: None) -> Written:
    """Write a file: aside, synced, renamed. An episode that cannot be read is rejected.

    Args:
        new: The file.
        overwrite: Replace an existing file; else it is kept.
        progress: Called after each episode.

    Raises:
        RobotroveError: If it cannot be written.
    """
    if os.path.lexists(new.path) and not overwrite:
        return Written(new.path, "kept", missing=tuple(_missing(new)))
    try:
        return _write_aside(new, progress)
    except OSError as exc:
        raise not_written(new.path, exc, "a folder that exists or can be made, with room") from exc


def _write_aside(new: NewFile, progress: Callable[[], None]) -> Written:
    for left in new.path.parent.glob(f"{escape(new.path.name)}.*"):
        if is_abandoned(left.name):
            left.unlink(missing_ok=True)  # a command that was killed left it
    rejected: list[tuple[str, str, str]] = []
    pieces = list(new.pieces)
    while pieces:
        with Replacements(new.path.parent) as replacements:
            notes, bad = _write(replace(new, pieces=tuple(pieces)), replacements.attempt(new.path.name), progress)
            if bad is None:
                replacements.commit()
                return Written(new.path, "written", tuple(notes), tuple(rejected))
        piece, why = bad  # what was written has parts of it: begin again without it
        rejected.append((piece.label, why.reason, why.detail))
        pieces.remove(piece)
    return Written(new.path, "failed", (), tuple(rejected))


def _write(
    new: NewFile, attempt: Path, progress: Callable[[], None]
) -> tuple[list[str], tuple[Piece, EpisodeRejected] | None]:
    """Write a file and return notes on it, or the first episode that cannot be read."""
    notes: list[str] = []
    counts: dict[str, list[int | None]] = {}
    oldest = "v108" if any(piece.recording.is_new for piece in new.pieces) else "earliest"
    with new_hdf5(attempt, track_order=new.pieces[0].recording.tracks_order, oldest=oldest) as target:
        for recording, group in groupby(new.pieces, key=lambda piece: piece.recording):
            pieces, extras = list(group), recording.extras
            piece = pieces[0]
            try:
                with open_hdf5(recording.path, locking=True) as source:
                    moved = {piece.key: piece.name for piece in pieces}
                    same = {path: path for path in (*extras.copied, *extras.lists)}
                    copy = ObjectCopy(source, target, new.path.parent, moved | same)
                    for piece in pieces:
                        copy.copy(piece.key)
                        counts.setdefault(piece.name.rpartition("/")[0], []).append(_rows(source, piece.key))
                        progress()
                    if recording is new.pieces[0].recording:
                        for path in extras.copied:
                            copy.copy(path)
                        for path in extras.lists:
                            copy.copy_list(path, _names(new.pieces, path))
                    copy.finish()
            except EpisodeRejected as exc:
                if "write failed" in exc.detail or "No space" in exc.detail:
                    raise OSError(exc.detail) from exc
                return [], (piece, exc)
            notes += copy.notes
            for piece in pieces:
                if piece.name != piece.key:
                    _record(target, piece)
        if new.pieces[0].name:  # else the root is the episode, and nothing is above it
            for above, rows in counts.items():
                notes += _count(target[above or "/"], rows)
    return notes, None


def _names(pieces: Iterable[Piece], path: str) -> list[str]:
    """Return the names of a list of episodes in their order there: those of the pieces only, and as they are now."""
    found = []
    for recording, group in groupby(pieces, key=lambda piece: piece.recording):
        new = {piece.key: piece.name for piece in group}
        new |= {key.rpartition("/")[2]: name.rpartition("/")[2] for key, name in new.items()}
        found += [new[name] for name in recording.extras.lists[path] if name in new]
    return found


def _rows(source: h5py.File, key: str) -> int | None:
    """Return how many samples an episode has by its recorder; None if it does not say, or is in a file out of reach."""
    try:
        group = lookup(source, key or "/")
        if not isinstance(group, h5py.Group):
            return None
        if "num_samples" in group.attrs:
            with suppress(*DAMAGE):
                return int(np.asarray(group.attrs["num_samples"]).item())
            return None
        actions = lookup(group, "actions")
    except EpisodeRejected as exc:
        if exc.reason == "outside_file":
            return None
        raise
    return len(actions) if isinstance(actions, h5py.Dataset) and actions.shape else None


def _record(target: h5py.File, piece: Piece) -> None:
    """Write the name that an episode had, where its group is in the file: one behind a link is of a recording."""
    if isinstance(target.get(piece.name, getlink=True), h5py.HardLink):
        target[piece.name].attrs[RENAMED_FROM] = piece.label


def _count(above: h5py.Group, rows: Sequence[int | None]) -> Iterator[str]:
    """Let the attributes that count episodes and samples say what is in the file."""
    total = sum(row for row in rows if row is not None)
    for name, value in zip(COUNTS, (total if None not in rows else None, len(rows)), strict=True):
        if name in above.attrs:
            kind = above.attrs.get_id(name)
            if value is None or kind.shape not in ((), (1,)) or kind.dtype.kind not in "iuf":
                yield f"{above.name}: attribute {name!r} is as in the recording: the samples cannot be counted"
            else:
                above.attrs.modify(name, np.reshape(value, kind.shape))
