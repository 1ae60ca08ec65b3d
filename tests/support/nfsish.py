"""A view of a folder as an NFS client has it: `python nfsish.py BACKING MOUNT [ACREGMIN=3 ACDIRMIN=30]`.

A FUSE passthrough (package fusepy, Debian's libfuse2, /dev/fuse, root) that stays until it is unmounted. A listing, and
that a name was asked for and not there, is believed for ACDIRMIN seconds, unless this client changes the folder itself;
attributes of files for ACREGMIN seconds. open() asks the server (close-to-open). Files removed meanwhile are ESTALE.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fuse import FUSE, FuseOSError, Operations

T = TypeVar("T")
_ATTRIBUTES = [f"st_{name}" for name in ("atime", "ctime", "gid", "ino", "mode", "mtime", "nlink", "size", "uid")]
_SPACE = [key for key in dir(os.statvfs_result) if key.startswith("f_") and key != "f_fsid"]


@dataclass
class _Folder:
    """Beliefs about a folder.

    Attributes:
        absent: Names that were asked for and not there.
        names: Its listing, if somebody asked for that.
        since: Time of the first of them.
    """

    absent: set[str] = field(default_factory=set)
    names: set[str] | None = None
    since: float = field(default_factory=time.monotonic)


class NfsView(Operations):
    """The calls of the file system.

    Args:
        backing: The folder on the server.
        acregmin: Seconds for which attributes of files are believed.
        acdirmin: Seconds for which listings, missing names and attributes of folders are believed.
    """

    def __init__(self, backing: str, acregmin: float, acdirmin: float) -> None:
        self._backing, self._acregmin, self._acdirmin = backing, acregmin, acdirmin
        self._folders: dict[str, _Folder] = {}
        self._attributes: dict[str, tuple[float, dict[str, Any]]] = {}
        self._lock = threading.RLock()

    def _path(self, path: str) -> str:
        return self._backing + path

    def _folder(self, path: str) -> _Folder:
        found = self._folders.get(path)
        if found is None or time.monotonic() - found.since >= self._acdirmin:
            found = self._folders[path] = _Folder()
        return found

    def _forget(self, *paths: str) -> None:
        with self._lock:
            for path in paths:
                self._folders.pop(os.path.dirname(path), None)
                self._attributes.pop(path, None)
                self._attributes.pop(os.path.dirname(path), None)

    def _change(self, call: Callable[[], T], *paths: str) -> T:
        """Do what changes paths; this client then asks about their folders again, also where it fails."""
        try:
            return call()
        except OSError as exc:
            raise FuseOSError(exc.errno) from exc
        finally:
            self._forget(*paths)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        parent, name = os.path.split(path)
        with self._lock:
            if path != "/" and name in self._folder(parent).absent:
                raise FuseOSError(errno.ENOENT)
            if known := self._attributes.get(path):
                is_folder = stat.S_ISDIR(known[1]["st_mode"])
                if time.monotonic() - known[0] < (self._acdirmin if is_folder else self._acregmin):
                    return known[1]
        try:
            found = os.lstat(self._path(path))
        except OSError as exc:
            with self._lock:
                self._attributes.pop(path, None)
                if exc.errno == errno.ENOENT:
                    self._folder(parent).absent.add(name)
            raise FuseOSError(exc.errno) from exc
        attributes = {key: getattr(found, key) for key in _ATTRIBUTES}
        with self._lock:
            self._attributes[path] = (time.monotonic(), attributes)
        return attributes

    def readdir(self, path: str, fh: int) -> list[str]:
        with self._lock:
            folder = self._folder(path)
            if folder.names is None:
                try:
                    folder.names = set(os.listdir(self._path(path)))
                except OSError as exc:
                    self._folders.pop(path, None)
                    raise FuseOSError(errno.ESTALE if exc.errno == errno.ENOENT else exc.errno) from exc
            return [".", "..", *folder.names]

    def readlink(self, path: str) -> str:
        return os.readlink(self._path(path))

    def mkdir(self, path: str, mode: int) -> None:
        self._change(lambda: os.mkdir(self._path(path), mode), path)

    def rmdir(self, path: str) -> None:
        self._change(lambda: os.rmdir(self._path(path)), path)
        with self._lock:
            self._folders.pop(path, None)

    def unlink(self, path: str) -> None:
        self._change(lambda: os.unlink(self._path(path)), path)

    def symlink(self, target: str, source: str) -> None:
        self._change(lambda: os.symlink(source, self._path(target)), target)

    def rename(self, old: str, new: str) -> None:
        self._change(lambda: os.rename(self._path(old), self._path(new)), old, new)
        with self._lock:
            for beliefs in (self._folders, self._attributes):
                for path in [p for p in beliefs if f"{p}/".startswith((f"{old}/", f"{new}/"))]:
                    del beliefs[path]

    def link(self, target: str, source: str) -> None:
        self._change(lambda: os.link(self._path(source), self._path(target)), target, source)

    def chmod(self, path: str, mode: int) -> None:
        self._change(lambda: os.chmod(self._path(path), mode), path)

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._change(lambda: os.chown(self._path(path), uid, gid), path)

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        self._change(lambda: os.utime(self._path(path), times), path)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._path(path))
        return {key: getattr(found, key) for key in _SPACE}

    def open(self, path: str, flags: int) -> int:
        try:
            descriptor = os.open(self._path(path), flags & ~os.O_CREAT & ~os.O_EXCL)
        except OSError as exc:
            self._forget(path)
            raise FuseOSError(exc.errno) from exc
        with self._lock:
            self._attributes.pop(path, None)
        return descriptor

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return self._change(lambda: os.open(self._path(path), os.O_RDWR | os.O_CREAT, mode), path)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        written = os.pwrite(fh, data, offset)
        with self._lock:
            self._attributes.pop(path, None)
        return written

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._change(lambda: os.truncate(self._path(path), length), path)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        os.fsync(fh)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> None:
        os.close(fh)


if __name__ == "__main__":
    backing, mount, *times = sys.argv[1:]
    FUSE(
        NfsView(backing, *map(float, times or (3, 30))),
        mount,
        foreground=True,
        allow_other=True,
        default_permissions=True,
        # All caching is that of this file; the kernel adds none.
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        direct_io=False,
        kernel_cache=False,
        big_writes=True,
    )
