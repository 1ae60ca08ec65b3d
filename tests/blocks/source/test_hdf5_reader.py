"""Files that the reader of HDF5 finds, and how it takes them up again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.core.errors import UsageError
from robotrove.core.source_file import SourceFile
from robotrove.formats.hdf5.mapping import ColumnSpec
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


def found(folder: Path, *patterns: str) -> list[str]:
    """Make a tree of files; return those that the reader finds, relative to it."""
    files = Hdf5Reader(files=[str(folder / pattern) for pattern in patterns], layout="isaaclab").find()
    return [str(file.path.relative_to(folder)) for file in files]


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_stands_for_the_recordings_in_it_and_below(tmp_path: Path) -> None:
    make(tmp_path, "b/10.HDF5", "b/2.h5", "b/c/1.Hdf5", "a.H5", "b/notes.txt", "b/hdf5", "day 1/x.hdf5")
    assert found(tmp_path, "") == ["a.H5", "b/2.h5", "b/10.HDF5", "b/c/1.Hdf5", "day 1/x.hdf5"]
    assert found(tmp_path, "b") == ["b/2.h5", "b/10.HDF5", "b/c/1.Hdf5"]


def test_what_a_conversion_leaves_in_a_folder_is_no_recording(tmp_path: Path) -> None:
    left = (".cache/a.hdf5", "out.partial/b.hdf5", "out.partial-1a2b-0/c.hdf5", "deep/out/replay.hdf5", "out/x/d.hdf5")
    make(tmp_path, "1.hdf5", "deep/2.hdf5", "deep/out.partially/3.hdf5", *left)
    make(tmp_path, "deep/out/meta/info.json", "out/meta/info.json")
    assert found(tmp_path, "") == ["1.hdf5", "deep/2.hdf5", "deep/out.partially/3.hdf5"]
    assert found(tmp_path, "deep/out") == ["deep/out/replay.hdf5"]  # by its own name it is the user's choice
    assert found(tmp_path, "out/**/*.hdf5") == ["out/x/d.hdf5"]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    make(tmp_path, "disk/far/1.hdf5", "here/z/2.hdf5")
    (tmp_path / "here/a").symlink_to(tmp_path / "here/z")  # sorts first, but it is the link
    (tmp_path / "here/far").symlink_to(tmp_path / "disk/far")
    (tmp_path / "here/z/up").symlink_to(tmp_path / "here")
    (tmp_path / "disk/far/self").symlink_to(tmp_path / "disk/far")
    assert found(tmp_path, "here") == ["here/far/1.hdf5", "here/z/2.hdf5"]


def test_a_name_needs_no_suffix_and_a_pattern_has_its_own_case(tmp_path: Path) -> None:
    make(tmp_path, "take_1", "B.HDF5", "a.HDF5", "c.h5")
    assert found(tmp_path, "take_1") == ["take_1"]
    assert found(tmp_path, "*.HDF5") == ["B.HDF5", "a.HDF5"]
    for pattern, other in (("*.hdf5", "*.HDF5"), ("*.H5", "*.h5")):
        with pytest.raises(UsageError, match="matches no file") as caught:
            found(tmp_path, pattern)
        assert caught.value.todo == f"files: [{str(tmp_path / other)!r}]"
    with pytest.raises(UsageError) as caught:
        found(tmp_path, "*.mat")
    assert caught.value.todo == f"ls {tmp_path}/*.mat"


def test_a_local_file_is_not_looked_up_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOTROVE_CACHE", str(tmp_path))
    place = cache.Place("lab/cubes", "0" * 40, "a.hdf5")
    row = replace(ROW, path=str(place.file))
    local = Hdf5Reader(files=[str(place.file)], layout="isaaclab").file_of(row)
    assert local == SourceFile(place.file, 5, 7)
    with pytest.raises(FileNotFoundError):
        local.is_changed()
    remote = Hdf5Reader(files=["hf://datasets/lab/cubes"], layout="isaaclab").file_of(row)
    assert remote == RemoteFile(place.file, 5, 7, origin=f"hf://datasets/lab/cubes@{'0' * 40}/a.hdf5")
    assert not remote.is_changed()


@pytest.mark.parametrize(
    ("layout", "options", "words"),
    [
        ("generic", {"splits": ["done"]}, "'splits' is not an option (did you mean 'split'?)"),
        ("aloha", {"split": ["done"]}, "expected: one of success_threshold"),
        ("generic", {"episodes": 3}, "source.options.episodes: 3"),
        ("generic", {"success": ["attr:success"]}, "source.options.success: ['attr:success']"),
        ("generic", {"split": 3}, "source.options.split: 3"),
        ("isaaclab", {"success_threshold": "high"}, "source.options.success_threshold: 'high'"),
    ],
)
def test_options_are_checked_before_any_file_is_touched(layout: str, options: dict[str, object], words: str) -> None:
    columns = {"action": ColumnSpec(source="a")}
    with pytest.raises(UsageError) as caught:
        Hdf5Reader(files=["a.hdf5"], layout=layout, columns=columns, options=options)
    assert words in str(caught.value)
