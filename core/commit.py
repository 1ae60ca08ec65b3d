"""The commit protocol: work aside under a name no other process can have, sync, rename.

Correct without locks: two live writers of one target (a killed job step that lives on, a requeued
node) never share a path, and exactly one rename wins.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from .machine import place

TEMPORARY_SUFFIX = ".tmp"
NFS_GRACE_S = 60.0  # nfs(5), acdirmax: so long a client may believe a listing, or that a name is missing
_ATTEMPT = re.compile(r".+-\d+-[0-9a-f]{8}(?P<place>[0-9a-f]{4})?" + re.escape(TEMPORARY_SUFFIX))
_SYNCED_AT_ONCE = 16
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # file systems without hard links


def attempt_name(target: str) -> str:
    """Return a sibling name for one attempt at `target` by this process."""
    return f"{target}.{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}{_place()}{TEMPORARY_SUFFIX}"


def _place() -> str:
    """Return four digits for the boot and the container of this process: others may have its host name and its pid."""
    return hashlib.sha256(json.dumps(place()).encode()).hexdigest()[:4]


def json_text(document: Any, indent: int | None = None) -> str:
    """Return a document as JSON that every reader takes: numbers that are NaN or infinite become null (RFC 8259, 6)."""
    dump = partial(json.dumps, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        return dump(document)
    except ValueError:  # rare, and the copy takes longer than the text
        return dump(finite(document, lambda value: None))


def finite(document: Any, instead: Callable[[float], Any]) -> Any:
    """Return a document with something instead of each number that is NaN or infinite."""
    if isinstance(document, float) and not math.isfinite(document):
        return instead(document)
    if isinstance(document, dict):
        return {key: finite(value, instead) for key, value in document.items()}
    return [finite(value, instead) for value in document] if isinstance(document, list | tuple) else document


def is_attempt(name: str) -> bool:
    """True for a name that `attempt_name` gave."""
    return _ATTEMPT.fullmatch(name) is not None


def is_abandoned(name: str) -> bool:
    """True for an attempt of a process that ran on this machine, and does no longer."""
    if not (attempt := _ATTEMPT.fullmatch(name)) or attempt["place"] not in (None, _place()):
        return False
    target, process, _ = name.rsplit("-", 2)
    if not target.endswith(f".{socket.gethostname()}"):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # of another user
    return False


def look_again(folder: Path, name: str = "look") -> None:
    """Have the file server asked what is in a folder, by a change there.

    An NFS client may believe an earlier listing, and that a name is missing; its own changes show it what others did.

    Args:
        folder: The folder.
        name: Target of the attempt that the change is, so that it is swept with others of it after a kill.
    """
    probe = folder / attempt_name(name)
    with suppress(OSError):  # of somebody who may only read here
        probe.touch()
        probe.unlink()


def look_again_below(root: Path) -> None:
    """Do as `look_again` for a folder and all folders below."""
    look_again(root)
    for folder in [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]:
        look_again_below(folder)


def exists_now(path: Path) -> bool:
    """True if a path exists; that it does not is believed only after `look_again`."""
    if path.exists():
        return True
    if path == path.parent or not exists_now(path.parent):
        return False
    look_again(path.parent, path.name)
    return path.exists()


def sync_file(path: Path) -> None:
    """Flush one file or folder entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Flush every file below `root`, then every folder from the leaves up."""
    # At once, since file systems bring many to the disk in the time of one.
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        for folder, _, names in os.walk(root, topdown=False):
            deque(pool.map(sync_file, [Path(folder, name) for name in names]), maxlen=0)
            sync_file(Path(folder))


def rename_new(attempt: Path, target: Path) -> bool:
    """Rename a synced file or folder to `target` unless that exists already.

    Returns:
        True if this rename made the target, False if another attempt had won (ours is left as it is).
    """
    is_ours = _rename(attempt, target)
    if is_ours:
        sync_file(target.parent)
    return is_ours


def rename_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Rename many (attempt, target) as `rename_new` does, syncing each folder once."""
    parents = {target.parent for attempt, target in pairs if _rename(attempt, target)}
    for parent in sorted(parents):
        sync_file(parent)


def _rename(attempt: Path, target: Path) -> bool:
    try:
        if attempt.is_dir():
            os.rename(attempt, target)  # fails on a non-empty folder, which every committed one is
        else:
            os.link(attempt, target)  # a plain rename would overwrite the other's file
            attempt.unlink()
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return _is_linked(attempt, target)
        if exc.errno not in _NO_LINKS:
            raise
        if target.exists():
            return False
        os.rename(attempt, target)  # two at the same instant: the later one's equal file stays
    return True


def _is_linked(attempt: Path, target: Path) -> bool:
    """True if a file has both names: an NFS server had made the link, and its answer was lost."""
    look_again(target.parent)
    if attempt.is_dir() or not target.exists() or not attempt.samefile(target):
        return False
    attempt.unlink()
    return True


@contextmanager
def folder_attempt(target: Path, beside: Path | None = None) -> Iterator[Path]:
    """Give an empty folder to work in, and commit it as `target` when the block ends well.

    The work of an attempt that fails or loses is removed: it is this process's own.

    Args:
        target: Final name of the folder.
        beside: Folder to work in; the target's parent by default. Must be on the same file system.
    """
    attempt = (beside or target.parent) / attempt_name(target.name)
    attempt.mkdir()  # not parents=True: a vanished parent says that another process finished the work
    try:
        yield attempt
        sync_tree(attempt)
        rename_new(attempt, target)
    finally:
        with suppress(OSError):
            shutil.rmtree(attempt)


@contextmanager
def files_attempt(targets: Sequence[Path], beside: Path) -> Iterator[list[Path]]:
    """Give names of files to write, and commit each as its target when the block ends well; synced together.

    Args:
        targets: Final names, different ones even without their folders.
        beside: Folder to work in; must be on the same file system.
    """
    attempt = beside / attempt_name("files")
    attempt.mkdir()
    try:
        written = [attempt / target.name for target in targets]
        yield written
        sync_tree(attempt)
        rename_all(zip(written, targets, strict=True))
    finally:
        shutil.rmtree(attempt, ignore_errors=True)


@contextmanager
def file_attempt(target: Path) -> Iterator[Path]:
    """Give the name of a file to write, and commit it as `target` when the block ends well."""
    attempt = target.with_name(attempt_name(target.name))
    try:
        yield attempt
        sync_file(attempt)
        rename_new(attempt, target)
    finally:
        attempt.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, *, beside: Path | None = None) -> None:
    """Write a small file so that a reader sees the old one or the new one, whole.

    Args:
        path: The file.
        content: Its bytes.
        beside: File or folder that the attempt is beside; the file itself by default.
    """
    place = beside or path
    attempt = place.with_name(attempt_name(place.name))
    try:
        with open(attempt, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(attempt, path)
    finally:
        attempt.unlink(missing_ok=True)
    sync_file(path.parent)


class Replacements:
    """Collects new files inside a `with` block; without `commit` nothing changes.

    Args:
        root: The dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._attempts: dict[str, Path] = {}

    def __enter__(self) -> Replacements:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for attempt in self._attempts.values():
            attempt.unlink(missing_ok=True)

    def attempt(self, path: str) -> Path:
        """Return the name of a file to write, which will be `path`, relative to the dataset."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._attempts[path] = target.with_name(attempt_name(target.name))
        return self._attempts[path]

    def write(self, path: str, content: bytes) -> None:
        """Write a small file that will be `path`."""
        self.attempt(path).write_bytes(content)

    def commit(self, first: str = "") -> tuple[str, ...]:
        """Give each file its name, one after the other, and return the names.

        Args:
            first: The file to begin with, if it is among them; the others follow in the order of their attempts.
        """
        for attempt in self._attempts.values():
            sync_file(attempt)
        names = sorted(self._attempts, key=lambda path: path != first)
        for path in names:
            target = self._root / path
            os.replace(self._attempts[path], target)
            sync_file(target.parent)
        self._attempts = {}
        return tuple(names)
