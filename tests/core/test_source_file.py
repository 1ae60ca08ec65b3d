"""Source files of this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from robotrove.core.source_file import SourceFile, not_opened


def test_a_file_is_measured_once_and_compared_later(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    found = SourceFile(path)
    assert (found.size, found.mtime_ns, found.origin) == (0, 0, "")
    planned = found.measured()
    assert planned == SourceFile(path, 5, 1_500_000_000_123_456_789)
    assert (planned.open(), planned.name) == (path, path)
    assert not planned.is_changed()
    path.write_bytes(b"54321")
    os.utime(path, ns=(0, 1_500_000_000_123_456_790))
    assert planned.is_changed(), "by 1 ns"
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    path.write_bytes(b"1234")
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    assert planned.is_changed(), "by 1 byte"


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    planned = SourceFile(path, 5, 7).measured()
    assert planned == SourceFile(path)
    with pytest.raises(FileNotFoundError):
        planned.is_changed()
    path.write_bytes(b"")
    assert planned.is_changed(), "it was missing when it was planned"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_names_the_variable(tmp_path: Path, number: int) -> None:
    """HDF5_USE_FILE_LOCKING=TRUE wins over h5py's `locking`; the text is that of HDF5 2.0 for each of them."""
    said = f"unable to lock file, errno = {number}, error message = '{os.strerror(number)}'"
    found = not_opened(tmp_path, OSError(number, f"Unable to synchronously open file ({said})"))
    assert found.reason == "unreadable_file"
    assert found.detail == (
        f"{tmp_path} cannot be locked: {os.strerror(number)}; its file system has no locks: "
        "unset HDF5_USE_FILE_LOCKING, or set it to FALSE"
    )
