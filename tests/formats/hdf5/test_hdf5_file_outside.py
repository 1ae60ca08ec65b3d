"""Files outside of a recording's folder: nothing that HDF5 would open by itself is read, unless a folder is allowed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.core.source_file import Reach
from robotrove.formats.hdf5.hdf5_file import lookup, objects, open_hdf5, source_digests
from robotrove.formats.hdf5.layouts.generic import GenericLayout
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.preview import preview
from robotrove.formats.hdf5.stored_rows import check_rows
from robotrove.formats.hdf5.tree import tree

ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)
SECRET = ROWS + 1000
COLUMNS = {"action": ColumnSpec(source="action"), "observation.state": ColumnSpec(source="q")}

Put = Callable[[h5py.File], object]


def external(path: str | Path) -> Put:
    return lambda file: file.create_dataset("q", (10, 2), "f4", external=[(str(path), 0, ROWS.nbytes)])


def linked(path: str | Path, inner: str = "/q") -> Put:
    return lambda file: file.__setitem__("q", h5py.ExternalLink(str(path), inner))


def virtual(path: str | Path, inner: str = "q") -> Put:
    layout = h5py.VirtualLayout((10, 2), "f4")
    layout[:] = h5py.VirtualSource(str(path), inner, shape=(10, 2))
    return lambda file: file.create_virtual_dataset("q", layout)


def growing(pattern: str, inner: str = "q") -> Put:
    """Return a virtual dataset as long as its numbered sources: HDF5 opens them for its shape."""
    space = h5py.h5s.create_simple((2, 2), (h5py.h5s.UNLIMITED, 2))
    space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (10, 2), (10, 2))
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_virtual(space, pattern.encode(), inner.encode(), h5py.h5s.create_simple((10, 2)))
    return lambda file: h5py.h5d.create(file.id, b"q", h5py.h5t.IEEE_F32LE, space, made)


def write(path: Path, *puts: Put) -> Path:
    with h5py.File(path, "w") as file:
        file["action"] = ROWS
        for put in puts:
            put(file)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the recordings, with a folder of secrets beside it, and one of parts in it."""
    for name in ("recordings/parts", "private", "shared"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("private", "recordings/parts", "shared"):
        (tmp_path / name / "q.raw").write_bytes(SECRET.tobytes())
        with h5py.File(tmp_path / name / "q.h5", "w") as file:
            file["q"] = SECRET
    return tmp_path / "recordings"


def scan(path: Path, reach: Reach | None = None) -> EpisodeRejected | np.ndarray:
    """Return the states of a recording's episode, or why it is rejected."""
    with open_hdf5(path, locking=True, reach=reach) as file:
        scanned = GenericLayout(columns=COLUMNS).scan(file, "/")
        if scanned.episode is None:
            assert scanned.rejection is not None
            return EpisodeRejected(scanned.rejection.reason, scanned.rejection.detail)
        return scanned.episode["observation.state"]


def refused(path: Path, named: Path, reach: Reach | None = None) -> str:
    found = scan(path, reach)
    assert isinstance(found, EpisodeRejected), found
    assert (found.reason, os.fspath(named) in found.detail) == ("outside_file", True), found.detail
    return found.detail


WAYS: dict[str, Callable[[Path], Put]] = {
    "raw file": lambda private: external(private / "q.raw"),
    "raw file by dots": lambda private: external("../private/q.raw"),
    "link": lambda private: linked(private / "q.h5"),
    "link by dots": lambda private: linked("../private/q.h5"),
    "virtual": lambda private: virtual(private / "q.h5"),
    "virtual by dots": lambda private: virtual("../private/q.h5"),
    "in and out again": lambda private: linked("parts/../../private/q.h5"),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_is_refused_and_its_folder_can_be_allowed(folder: Path, way: str) -> None:
    private = folder.parent / "private"
    path = write(folder / "a.h5", WAYS[way](private))
    named = private / ("q.raw" if "raw" in way else "q.h5")
    assert f"source.follow: [{private}] allows it" in refused(path, named)
    found = scan(path, Reach.of(path, [str(private)]))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, SECRET)
    refused(path, named)  # what one command allows, the next does not
    refused(path, named, Reach.of(path, [str(folder.parent / "shared")]))
    detail = refused(path, named, Reach.of(path, [str(private)], is_fetched=True))
    assert "fetched recording" in detail
    assert "source.follow" not in detail


@pytest.mark.parametrize("put", [external("parts/q.raw"), linked("parts/q.h5"), virtual("parts/q.h5")])
def test_files_below_the_folder_are_read(folder: Path, put: Put) -> None:
    path = write(folder / "a.h5", put)
    for reach in (None, Reach.of(path, is_fetched=True)):
        found = scan(path, reach)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, SECRET)


def test_a_recording_behind_a_symlink_has_both_folders(folder: Path) -> None:
    write(folder / "parts" / "a.h5", external("q.raw"))
    (folder.parent / "shared" / "a.h5").symlink_to(folder / "parts" / "a.h5")
    for put in (linked("q.h5"), virtual("q.h5")):
        write(folder / "parts" / "a.h5", put)
        found = scan(folder.parent / "shared" / "a.h5")
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, SECRET)
    write(folder / "parts" / "a.h5", linked(folder.parent / "private" / "q.h5"))
    refused(folder.parent / "shared" / "a.h5", folder.parent / "private" / "q.h5")


@pytest.mark.parametrize("put", [external("away/q.raw"), linked("away/q.h5"), virtual("away/q.h5"), linked("q.h5")])
def test_a_symlink_in_the_folder_leads_out_of_it(folder: Path, put: Put) -> None:
    (folder / "away").symlink_to(folder.parent / "private")
    (folder / "q.h5").symlink_to(folder.parent / "private" / "q.h5")
    refused(write(folder / "a.h5", put), folder.parent / "private")


BEHIND: dict[str, Put] = {
    "link": linked("../../private/q.h5"),
    "virtual": virtual("../../private/q.h5"),
    "raw file": external("../../private/q.raw"),
}


@pytest.mark.parametrize("second", BEHIND)
@pytest.mark.parametrize("first", [linked("parts/b.h5"), virtual("parts/b.h5")])
def test_a_file_of_the_folder_leads_out_of_it(folder: Path, first: Put, second: str) -> None:
    put = BEHIND[second]
    if second == "raw file":  # HDF5 takes a relative one of a source from the current folder
        put = external(folder.parent / "private" / "q.raw")
    write(folder / "parts" / "b.h5", put)
    path = write(folder / "a.h5", first)
    refused(path, folder.parent / "private")
    found = scan(path, Reach.of(path, [str(folder.parent / "private")]))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, SECRET)


def test_a_file_of_the_folder_may_lead_back_to_it(folder: Path) -> None:
    """The reach is that of the recording, not that of each file on the way."""
    with h5py.File(folder / "own.h5", "w") as file:
        file["q"] = SECRET
    write(folder / "parts" / "b.h5", linked("../own.h5"))
    found = scan(write(folder / "a.h5", linked("parts/b.h5")))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, SECRET)


@pytest.mark.parametrize("pattern", ["../private/q%b.h5", "part%b.h5"])
def test_numbered_sources(folder: Path, pattern: str) -> None:
    os.rename(folder.parent / "private" / "q.h5", folder.parent / "private" / "q0.h5")
    with h5py.File(folder / "part0.h5", "w") as file:
        file["q"] = ROWS
    (folder / "part1.h5").symlink_to(folder.parent / "private" / "q0.h5")
    refused(write(folder / "a.h5", growing(pattern)), folder.parent / "private" / "q0.h5")


def test_numbers_without_end(folder: Path) -> None:
    """HDF5 takes the file beside the recording for each absolute name, and would count for ever."""
    with h5py.File(folder / "own.h5", "w") as file:
        file["q"] = ROWS
    found = scan(write(folder / "a.h5", growing("/gone/%b/own.h5")))
    assert isinstance(found, EpisodeRejected)
    assert (found.reason, "have no end" in found.detail) == ("unreadable_data", True)


def test_pipes_and_devices_are_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe0")  # reading it would wait for ever
    reasons = []
    for put in (linked("pipe0"), virtual("pipe0"), external("pipe0"), growing("pipe%b")):
        found = scan(write(folder / "a.h5", put))
        assert isinstance(found, EpisodeRejected)
        reasons.append(found.reason)
    assert reasons == ["unreadable_file", "unreadable_file", "missing_file", "unreadable_file"]
    for put in (linked("/dev/zero"), virtual("/dev/zero"), external("/dev/zero")):
        refused(write(folder / "a.h5", put), Path("/dev/zero"))


def test_data_that_no_column_reads_do_not_reject_an_episode(folder: Path) -> None:
    path = write(folder / "a.h5", external(folder.parent / "private" / "q.raw"))
    columns = {"action": ColumnSpec(source="action")}
    with open_hdf5(path, locking=True) as file:
        scanned = GenericLayout(columns=columns).scan(file, "/")
        assert scanned.episode is not None
        assert (scanned.episode.origin.unused, scanned.episode.origin.files) == (("q",), "")
        assert isinstance(objects(file)["q"], EpisodeRejected)
        before = source_digests(file["/"], check_rows)
    (folder.parent / "private" / "q.raw").write_bytes(ROWS.tobytes())
    with open_hdf5(path, locking=True) as file:
        assert source_digests(file["/"], check_rows) == before  # nothing of the other file counts


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["success", "task_from", "fps_from"])
def test_facts_are_not_taken_from_outside(folder: Path, way: str, option: str) -> None:
    layout = GenericLayout(columns={"action": ColumnSpec(source="action")}, **{option: "dataset:q"})
    path = write(folder / "a.h5", WAYS[way](folder.parent / "private"))
    with open_hdf5(path, locking=True) as file:
        scanned = layout.scan(file, "/")
    assert scanned.rejection is not None
    assert (scanned.rejection.reason, "100" in scanned.rejection.detail) == ("outside_file", False)


def test_a_single_value_of_another_file(folder: Path) -> None:
    (folder.parent / "private" / "word").write_bytes(b"password")
    (folder / "word").write_bytes(b"open box")
    os.mkfifo(folder / "pipe")

    def stored(path: str) -> Put:  # as h5py itself does not write it
        made, text = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5t.C_S1.copy()
        made.set_external(path.encode(), 0, 8)
        text.set_size(8)
        return lambda file: h5py.h5d.create(file.id, b"text", text, h5py.h5s.create(h5py.h5s.SCALAR), made)

    layout = GenericLayout(columns={"action": ColumnSpec(source="action")}, task_from="dataset:text")
    said = []
    for name in ("../private/word", "pipe", "word"):
        with open_hdf5(write(folder / "a.h5", stored(name)), locking=True) as file:
            scanned = layout.scan(file, "/")
            said.append(scanned.rejection.reason if scanned.rejection else scanned.episode and scanned.episode.text)
    assert said == ["outside_file", "unreadable_file", "open box"]


def test_objects_behind_links_keep_their_reach_when_they_are_opened_again(folder: Path) -> None:
    private = folder.parent / "private"
    path = write(folder / "a.h5", linked(private / "b.h5"))
    write(private / "b.h5", virtual("q.h5"))
    with open_hdf5(path, locking=True, reach=Reach.of(path, [str(private)])) as file:
        found = lookup(file, "q")
        assert isinstance(found, h5py.Dataset)
        again = lookup(found.file, "q")
        assert isinstance(again, h5py.Dataset)
        np.testing.assert_array_equal(again[()], SECRET)


@pytest.mark.parametrize("way", [*WAYS, "numbered"])
def test_the_tree_names_other_files_and_reads_none_out_of_reach(folder: Path, way: str) -> None:
    private = folder.parent / "private"
    os.mkfifo(private / "pipe0")  # HDF5 would wait for ever to know the shape
    put = growing("../private/pipe%b") if way == "numbered" else WAYS[way](private)
    with open_hdf5(write(folder / "a.h5", put), locking=True) as file:
        found = {node.path: node for node in tree(file)}["/q"]
        values = preview(file, "/q")
    assert found.shape is None
    assert ("private/" in found.target, os.fspath(private) in found.problem) == (True, True)
    assert values is not None
    assert (values.first, values.last, values.problem) == (None, None, "")
    assert os.fspath(private) in values.skipped


@pytest.mark.parametrize("put", [external("parts/q.raw"), virtual("parts/q.h5")])
def test_the_tree_names_other_files_in_reach(folder: Path, put: Put) -> None:
    with open_hdf5(write(folder / "a.h5", put), locking=True) as file:
        found = {node.path: node for node in tree(file)}["/q"]
    assert (found.kind, found.shape, found.problem) == ("dataset", (10, 2), "")
    assert found.target in ("parts/q.raw", "parts/q.h5:q")
