"""Files that the reader of HDF5 finds, and how it takes them up again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.core.source_file import SourceFile
from robotrove.hub import cache
from robotrove.hub.source_files import RemoteFile
from robotrove.manifests.manifest import EpisodeRow

ROW = EpisodeRow(0, "", "a.hdf5", "demo_0", "d", 1, 1, 30, "", None, 5, 7)


def test_found_files_are_in_natural_order_and_listed_once(tmp_path: Path) -> None:
    for name in ("demo_10.hdf5", "demo_2.hdf5", "b.h5", "notes.txt"):
        (tmp_path / name).touch()
    reader = Hdf5Reader(files=[str(tmp_path / "demo_10.hdf5"), str(tmp_path)], layout="isaaclab")
    paths = [tmp_path / name for name in ("demo_10.hdf5", "b.h5", "demo_2.hdf5")]
    assert reader.find() == [SourceFile(path) for path in paths]


def test_a_local_file_is_not_looked_up_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOTROVE_CACHE", str(tmp_path))
    place = cache.Place("lab/cubes", "0" * 40, "a.hdf5")
    row = replace(ROW, path=str(place.file))
    local = Hdf5Reader(files=[str(place.file)], layout="isaaclab").file_of(row)
    assert local == SourceFile(place.file, 5, 7)
    with pytest.raises(FileNotFoundError):
        local.is_changed()
    remote = Hdf5Reader(files=["hf://datasets/lab/cubes"], layout="isaaclab").file_of(row)
    assert remote == RemoteFile(place.file, 5, 7, f"hf://datasets/lab/cubes@{'0' * 40}/a.hdf5")
    assert not remote.is_changed()
