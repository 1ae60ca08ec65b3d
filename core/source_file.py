"""Source file: a recording, as it was when it was found."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self, TypeAlias

from .errors import EpisodeRejected, UsageError

IRREGULAR = "is not a regular file"  # ends the detail of its rejection
_BUSY = {errno.EAGAIN, errno.EACCES}  # what flock and fcntl say of a lock that another holds
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.*", re.DOTALL)


def is_remote(text: str) -> bool:
    """True for an address, PROTOCOL://…, of the Hub or anywhere else."""
    return _ADDRESS.fullmatch(text) is not None


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files in a folder and below that end in one of the suffixes, in upper or lower case.

    Hidden folders, unfinished outputs (`NAME.partial…`) and LeRobot datasets below the folder are not searched: what a
    conversion left there is no recording. A folder that links lead to again is searched once.

    Raises:
        UsageError: If a folder cannot be read: its recordings would be missing without a word.
    """
    found: list[Path] = []
    searched: set[str] = set()
    for name, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        place = Path(name)
        is_dataset = place != folder and os.path.exists(place / "meta/info.json")
        if is_dataset or (real := os.path.realpath(place)) in searched:
            folders.clear()
            continue
        searched.add(real)
        found += [place / file for file in files if os.path.splitext(file)[1].lower() in suffixes]
        # Links come last, so that a folder keeps its own name.
        folders[:] = sorted(filter(_is_searched, folders), key=lambda inner: ((place / inner).is_symlink(), inner))
    return found


def _is_searched(folder: str) -> bool:
    return not (folder.startswith(".") or folder.endswith(".partial") or ".partial-" in folder)


def _unreadable(exc: OSError) -> None:
    raise UsageError(str(exc.filename), f"cannot be read: {exc.strerror}", "a folder of recordings") from exc


@dataclass(frozen=True, slots=True)
class PathMark:
    """Mark of a text that is a path: a pipeline file gives it relative to itself, and blocks get an absolute one.

    Attributes:
        suffixes: Endings that tell a path from a name; none where each text is a path.
        is_pattern: True for patterns of files, such as data/*.hdf5.
    """

    suffixes: tuple[str, ...] = ()
    is_pattern: bool = False


PathText: TypeAlias = Annotated[str, PathMark()]


@dataclass(frozen=True, slots=True)
class Reach:
    """Folders in which other files that a recording takes data from may be.

    Attributes:
        folders: Their real paths, the recording's own first.
        is_fetched: True if the recording is not of this machine, and may lead to no other folder of it.
    """

    folders: tuple[str, ...]
    is_fetched: bool = False

    @classmethod
    def of(cls, path: Path, follow: Iterable[str] = (), *, is_fetched: bool = False) -> Self:
        """Return the reach of a recording: its folder, that of its file if it is a symlink, and folders to follow."""
        own = os.path.dirname(os.path.abspath(path)), os.path.dirname(os.path.realpath(path))
        folders = own if is_fetched else (*own, *follow)
        return cls(tuple(dict.fromkeys(map(os.path.realpath, folders))), is_fetched)

    def problem(self, path: Path) -> str:
        """Return why a file may not be read, empty if it is in one of the folders once symlinks are followed."""
        real = os.path.realpath(path)
        if any(os.path.commonpath([folder, real]) == folder for folder in self.folders):
            return ""
        todo = f"source.follow: [{os.path.dirname(real)}] allows it"
        if self.is_fetched:
            todo = (
                "a fetched recording may not lead there: download what it needs into one folder, and convert it there"
            )
        return f"{real} is outside of {self.folders[0]}; {todo}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file on this machine.

    Attributes:
        path: Its absolute path.
        size: Bytes when it was planned; 0 before that, and for a missing file.
        mtime_ns: Modification time when it was planned, in ns since the epoch; 0 likewise.
        inode: Its number in the file system then; 0 likewise.
        ctime_ns: Time of the last change to the file or its inode then; 0 likewise, and in runs of before 0.2.3.
        origin: The address that it is fetched from; empty for a file of this machine.
    """

    path: Path
    size: int = 0
    mtime_ns: int = 0
    inode: int = field(default=0, compare=False)
    ctime_ns: int = field(default=0, compare=False)
    origin: str = ""

    @property
    def name(self) -> Path:
        """The path that people know it by."""
        return self.path

    def open(self) -> Path:
        """Return the path of the file, fetched if it is remote and not here.

        Raises:
            FileNotFoundError: If a remote file is missing, or another one by now.
            RobotroveError: If the place that has it does not answer.
        """
        return self.path

    def measured(self) -> Self:
        """Return the file with its current size, times and inode."""
        try:
            state = os.stat(self.open())
        except OSError:
            return replace(self, size=0, mtime_ns=0, inode=0, ctime_ns=0)
        return replace(
            self, size=state.st_size, mtime_ns=state.st_mtime_ns, inode=state.st_ino, ctime_ns=state.st_ctime_ns
        )

    def is_changed(self) -> bool:
        """True if the file is no longer as it was planned.

        Raises:
            OSError: If it is missing.
        """
        state = os.stat(self.path)
        return (state.st_size, state.st_mtime_ns) != (self.size, self.mtime_ns)

    def may_differ(self) -> bool:
        """True if a file of the same size and time may have other data: its inode or ctime is another one.

        A copy, a changed mode, a hard link and another mount of a network file system do this too: only data tell.

        Raises:
            OSError: If it is missing.
        """
        state = os.stat(self.path)
        return self.ctime_ns != 0 and (state.st_ino, state.st_ctime_ns) != (self.inode, self.ctime_ns)


def files_text(paths: Iterable[Path]) -> str:
    """Return files as they are now, with size, times and inode, as JSON for the manifest; empty without any."""
    files = [SourceFile(path).measured() for path in sorted(paths)]
    states = [(str(file.path), file.size, file.mtime_ns, file.inode, file.ctime_ns) for file in files]
    return json.dumps(states) if files else ""


def read_files(text: str) -> list[tuple[Path, int, int, int, int]]:
    """Return path, size, mtime_ns, inode and ctime_ns of each file of `files_text`."""
    return [
        (Path(path), size, mtime_ns, *(known or (0, 0))) for path, size, mtime_ns, *known in json.loads(text or "[]")
    ]


def beside(file: str, name: str) -> Path | None:
    """Return the file that a name in an HDF5 file means; None if it is missing.

    As HDF5 looks for it: the name itself if it is absolute, then in the folder of the file, and in that of the file
    which a symlink leads to; an absolute name also by its last part. Never in the current folder.
    """
    folders = os.path.dirname(os.path.abspath(file)), os.path.dirname(os.path.realpath(file))
    names = [name, os.path.basename(name)] if os.path.isabs(name) else [name]
    tried = [Path(folder, part) for part in names for folder in folders]
    found = next((path for path in tried if path.exists()), None)
    if found is not None and found not in tried[::2] and any(os.path.exists(part) for part in names):
        return None  # HDF5 takes that of the current folder before it follows a symlink
    return found


def check_regular(path: Path) -> None:
    """Refuse pipes and devices.

    Raises:
        EpisodeRejected: unreadable_file.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise EpisodeRejected("unreadable_file", f"{path} {IRREGULAR}")  # reading a pipe would wait for ever


def not_opened(path: Path, exc: OSError) -> EpisodeRejected:
    """Return the rejection that HDF5's error for a file which it cannot open stands for."""
    text = str(exc)
    if isinstance(exc, FileNotFoundError):
        return EpisodeRejected("missing_file", f"{path} does not exist")
    if exc.errno in _BUSY and "lock" in text:
        return EpisodeRejected(
            "being_written", f"{path} is open for writing in another process; rerun when the recording is closed"
        )
    if "unable to lock" in text:  # only where the variable says so: else it is opened without
        return EpisodeRejected(
            "unreadable_file",
            f"{path} cannot be locked: {os.strerror(exc.errno or 0)}; its file system has no locks: "
            "unset HDF5_USE_FILE_LOCKING, or set it to FALSE",
        )
    if "already open for write" in text:
        return EpisodeRejected(
            "being_written",
            f"{path} is marked as open for writing: its writer still runs, or it died; "
            f"if no process writes it, clear the mark with `h5clear -s {path.name}`",
        )
    if sizes := re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", text):
        found, expected = map(int, sizes.groups())
        return EpisodeRejected(
            "truncated_file", f"{path} has {found:,} bytes of the {expected:,} in its header; copy or record it again"
        )
    if path.is_dir():
        return EpisodeRejected("unreadable_file", f"{path} is a folder, not a file")
    if path.is_file():
        if path.stat().st_size == 0:
            return EpisodeRejected("empty_file", f"{path} has 0 bytes")
        if "signature not found" in text:
            return EpisodeRejected("not_hdf5", f"{path} does not begin like an HDF5 file{_looks_like(path)}")
    return EpisodeRejected("unreadable_file", f"{path} cannot be opened: {text}")


def _looks_like(path: Path) -> str:
    with open(path, "rb") as stream:
        if stream.read(24).startswith(b"version https://git-lfs"):
            return "; it is a Git LFS pointer, fetch the file itself with `git lfs pull`"
    return ""
