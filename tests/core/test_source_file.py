"""Source files of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robotrove.core.source_file import SourceFile


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
