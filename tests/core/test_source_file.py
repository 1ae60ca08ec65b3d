"""Source files of this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from robotrove.core.source_file import SourceFile, files_text, not_opened, read_files


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


def test_inode_and_ctime_say_that_a_file_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    path.write_bytes(b"12345")
    planned, state = SourceFile(path).measured(), path.stat()
    assert (planned.inode, planned.ctime_ns) == (state.st_ino, state.st_ctime_ns)
    assert not planned.may_differ()
    assert not SourceFile(path, 5, state.st_mtime_ns).may_differ(), "a run of before 0.2.3 does not know them"
    path.write_bytes(b"54321")
    os.utime(path, ns=(0, state.st_mtime_ns))
    assert (planned.is_changed(), planned.may_differ()) == (False, True)
    other = tmp_path / "other"
    other.write_bytes(b"12345")
    os.utime(other, ns=(0, state.st_mtime_ns))
    moved = SourceFile(path).measured()
    other.replace(path)
    assert (moved.is_changed(), moved.may_differ()) == (False, True)


def test_other_files_of_earlier_manifests(tmp_path: Path) -> None:
    path = tmp_path / "part.h5"
    path.write_bytes(b"123")
    state = path.stat()
    known = (path, 3, state.st_mtime_ns, state.st_ino, state.st_ctime_ns)
    assert read_files(files_text([path])) == [known]
    assert read_files(f'[["{path}", 3, 7]]') == [(path, 3, 7, 0, 0)]
    assert (files_text([]), read_files("")) == ("", [])


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
