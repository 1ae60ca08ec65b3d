"""Byte copier: copies parts of files without reading them, where the system can."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from ...core.errors import RobotroveError

_PIECE = 1 << 30  # Linux copies at most 2 GiB at once
_BUFFER = 1 << 20
# What file systems, kernels and sandboxes answer that do not offer a way of copying.
_REFUSED = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ENOTSOCK}


def _in_file_system(source: int, out: int, offset: int, count: int) -> int:
    return os.copy_file_range(source, out, count, offset)


def _in_kernel(source: int, out: int, offset: int, count: int) -> int:
    return os.sendfile(out, source, offset, count)


def _through_memory(source: int, out: int, offset: int, count: int) -> int:
    return os.write(out, os.pread(source, min(count, _BUFFER), offset))


def copy_file(source: Path, out: Path) -> None:
    """Write a file with the content of another one, which must not shrink meanwhile."""
    with open(source, "rb") as read, open(out, "wb") as write:
        ByteCopier(write.fileno()).append(source, read.fileno(), 0, os.fstat(read.fileno()).st_size)


class ByteCopier:
    """Appends parts of files to a file, in the fastest way that works.

    Args:
        out: Descriptor of the file to write, at its end.
    """

    def __init__(self, out: int) -> None:
        self._out = out
        self._ways: list[Callable[[int, int, int, int], int]] = [_in_kernel, _through_memory]
        if hasattr(os, "copy_file_range"):  # Linux only
            self._ways.insert(0, _in_file_system)

    def append(self, path: Path, source: int, offset: int, count: int) -> None:
        """Append `count` bytes of a file from `offset` on; RobotroveError if it ends before.

        Args:
            path: The file, for the error.
            source: Its descriptor.
            offset: Place in it.
            count: Number of bytes.
        """
        while count:
            done = self._try(source, offset, min(count, _PIECE))
            if not done:
                raise RobotroveError(str(path), f"it ends at byte {offset}", f"{count} more bytes", "copy it again")
            offset += done
            count -= done

    def _try(self, source: int, offset: int, count: int) -> int:
        while True:
            more = len(self._ways) > 1
            try:
                done = self._ways[0](source, self._out, offset, count)
            except OSError as exc:
                if not more or exc.errno not in _REFUSED:
                    raise
                done = 0
            if done or not more:
                return done
            del self._ways[0]  # some file systems report an end where there is none
