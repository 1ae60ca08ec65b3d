from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.formats.hdf5.hdf5_file import lookup
from robotrove.verification.audit.hdf5_recording import HDF5Recording, ObjectPlace

ROWS = np.arange(40, dtype="f4").reshape(20, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.hdf5"


@pytest.fixture
def audit(path: Path) -> Iterator[HDF5Recording]:
    """The recording of the test; opened when it is asked first."""
    with HDF5Recording(path) as recording:
        yield recording


def test_links_of_every_kind_are_followed(path: Path, audit: HDF5Recording) -> None:
    with h5py.File(path.with_name("b.hdf5"), "w") as other:
        other["x/front"] = ROWS
        other["hop"] = h5py.SoftLink("/x")
    with h5py.File(path, "w") as file:
        file["store/front"] = ROWS
        group = file.create_group("demo")
        group["hard"] = file["store/front"]
        group["soft"] = h5py.SoftLink("/store/front")
        group["near"] = h5py.SoftLink("sub/q")
        group["sub/q"] = ROWS
        group["out"] = h5py.ExternalLink("b.hdf5", "/hop/front")
        group["whole"] = h5py.ExternalLink("b.hdf5", "/x")
        group["sub/up"] = h5py.SoftLink("/demo")  # a circle: ends
        group["self"] = h5py.SoftLink("self")
        group["lost"] = h5py.ExternalLink("gone.hdf5", "/front")
        group["none"] = h5py.SoftLink("/store/back")
    found = audit.datasets(audit.find("demo"))
    other = path.with_name("b.hdf5")
    assert {name: place for name, place in found.items() if isinstance(place, ObjectPlace)} == {
        "hard": (path, "/demo/hard"),
        "soft": (path, "/store/front"),
        "near": (path, "/demo/sub/q"),
        "sub/q": (path, "/demo/sub/q"),
        "out": (other, "/x/front"),
        "whole/front": (other, "/x/front"),
    }
    assert {name: place for name, place in found.items() if isinstance(place, str)} == {
        "self": "a.hdf5:/demo/self a circle of links",
        "lost": f"a.hdf5:/demo/lost leads to {path.with_name('gone.hdf5')}, which is missing",
        "none": "a.hdf5:/store/back leads to nothing",
    }
    assert np.array_equal(audit.rows(audit.find("demo/whole/front"), 3, 7), ROWS[3:7])


def test_a_file_of_the_current_folder_is_not_the_one_beside(path: Path, audit: HDF5Recording) -> None:
    elsewhere = path.parent / "work"
    elsewhere.mkdir()
    with h5py.File(path, "w") as file:
        file["q"] = h5py.ExternalLink("part.hdf5", "/q")
        file.create_dataset("raw", (20, 2), "f4", external=[("q.raw", 0, ROWS.nbytes)])
        layout = h5py.VirtualLayout((20, 2), "f4")
        layout[:] = h5py.VirtualSource("part.hdf5", "q", shape=(20, 2))
        file.create_virtual_dataset("virtual", layout)
    with h5py.File(elsewhere / "part.hdf5", "w") as file:
        file["q"] = ROWS
    (elsewhere / "q.raw").write_bytes(ROWS.tobytes())
    here = os.getcwd()
    os.chdir(elsewhere)
    try:
        with pytest.raises(RobotroveError, match=r"which is missing \(the file of this name in the current folder"):
            audit.find("q")
        assert "q.raw is missing" in audit.gap(audit.find("raw"), 0, 20)
        assert "part.hdf5, which is missing (the file" in audit.gap(audit.find("virtual"), 0, 20)
        (path.parent / "q.raw").write_bytes((ROWS + 1).tobytes())
        assert audit.gap(audit.find("raw"), 0, 20) == ""
        assert np.array_equal(audit.rows(audit.find("raw"), 5, 9), ROWS[5:9] + 1)  # those beside the recording
    finally:
        os.chdir(here)


STORED = {
    "contiguous": {},
    "chunked": {"chunks": (3, 2)},
    "tiles": {"chunks": (7, 1), "compression": "gzip", "shuffle": True},
    "checked": {"chunks": (20, 2), "fletcher32": True},
    "lzf": {"chunks": (4, 2), "compression": "lzf"},
}
NOT_PYFIVE = {"lzf"}


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "i1", ">u2", "<i8"])
def test_rows_in_their_own_dtype(path: Path, audit: HDF5Recording, storage: str, dtype: str) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("q", data=ROWS.astype(dtype), **STORED[storage])
    place = audit.find("q")
    assert audit.gap(place, 0, 20) == ""
    rows = audit.rows(place, 2, 19)
    assert rows.dtype == np.dtype(dtype)
    assert np.array_equal(rows, ROWS.astype(dtype)[2:19])
    assert audit.readers == {place: "h5py" if storage in NOT_PYFIVE else "pyfive"}


def test_rows_of_other_types(path: Path, audit: HDF5Recording) -> None:
    colours = h5py.enum_dtype({"red": 0, "green": 7}, basetype="i2")
    values = {
        "bool": np.arange(5) % 2 == 0,
        "enum": np.array([0, 7, 7], colours),
        "bytes": np.array([b"ab", b"c"], "S4"),
        "array": np.arange(12, dtype="f4").reshape(4, 3),
    }
    with h5py.File(path, "w") as file:
        for name in ("bool", "enum", "bytes"):
            file[name] = values[name]
        file.create_dataset("array", (4,), np.dtype((np.float32, (3,))))[:] = values["array"]
        file["text"] = ["grün", "x"]
        rows = file.create_dataset("bytes_of_any_length", (2,), h5py.vlen_dtype(np.uint8))
        rows[0], rows[1] = np.arange(3, dtype="u1"), np.zeros(0, "u1")
    for name, expected in values.items():
        found = audit.rows(audit.find(name), 0, len(expected))
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert audit.shape(audit.find("array")) == (4, 3)
    assert [row.decode() for row in audit.rows(audit.find("text"), 0, 2)] == ["grün", "x"]
    assert [bytes(row) for row in audit.rows(audit.find("bytes_of_any_length"), 0, 2)] == [b"\0\1\2", b""]
    assert {place.path: reader for place, reader in audit.readers.items()} == {
        "/bool": "pyfive",
        "/enum": "pyfive",
        "/bytes": "pyfive",
        "/array": "h5py",
        "/text": "h5py",
        "/bytes_of_any_length": "h5py",
    }


def test_files_of_newer_formats_are_read(path: Path, audit: HDF5Recording) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("chunked", data=ROWS, chunks=(3, 2))  # an index that pyfive does not know
        file["contiguous"] = ROWS
    for name in ("chunked", "contiguous"):
        assert np.array_equal(audit.rows(audit.find(name), 1, 20), ROWS[1:])
    assert sorted(audit.readers.values()) == ["h5py", "pyfive"]


def test_rows_that_were_never_written(path: Path, audit: HDF5Recording) -> None:
    with h5py.File(path, "w") as file:
        for name, chunks, written in (
            ("end", (4, 2), slice(0, 10)),
            ("middle", (2, 2), slice(0, 0)),
            ("all", (5, 1), ...),
        ):
            dataset = file.create_dataset(name, (20, 2), "f4", chunks=chunks)
            dataset[written] = ROWS[written]
        file["middle"][:6] = file["middle"][8:] = 1
        half = file.create_dataset("tiles", (20, 2), "f4", chunks=(5, 1))
        half[:, 0] = 1
        half[:10, 1] = 1
        file.create_dataset("never", (20, 2), "f4")
        file.create_dataset("zeros", data=np.zeros((20, 2), "f4"), chunks=(4, 2))
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((3,)), compact)
        file.create_dataset("empty", (0, 2), "f4", chunks=(4, 2), maxshape=(None, 2))
    never = "have no stored chunks: they were never written"
    gaps = {name: audit.gap(audit.find(name), 0, 20) for name in ("end", "middle", "all", "tiles", "zeros", "never")}
    assert gaps == {
        "end": f"a.hdf5:/end: 8 rows between 12 and 19 {never}",
        "middle": f"a.hdf5:/middle: 2 rows between 6 and 7 {never}",
        "all": "",
        "tiles": f"a.hdf5:/tiles: 10 rows between 10 and 19 {never}",
        "zeros": "",
        "never": "a.hdf5:/never has no storage: it was never written",
    }
    assert audit.gap(audit.find("end"), 2, 12) == ""
    assert audit.gap(audit.find("end"), 11, 14) == f"a.hdf5:/end: 2 rows between 12 and 13 {never}"
    assert audit.gap(audit.find("compact"), 0, 3) == audit.gap(audit.find("empty"), 0, 0) == ""


def virtual(path: Path, *sources: tuple[slice, str, h5py.VirtualSource | None]) -> None:
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((20, 2), "f4")
        for rows, name, source in sources:
            size = len(range(20)[rows])
            layout[rows] = source or h5py.VirtualSource(name, "q", shape=(size, 2))
        file.create_virtual_dataset("q", layout)


def part(path: Path, name: str, rows: np.ndarray, **options: object) -> None:
    with h5py.File(path.with_name(name), "w") as file:
        file.create_dataset("q", data=rows, **options)


def test_virtual_datasets_whose_sources_are_there(path: Path, audit: HDF5Recording) -> None:
    part(path, "b.h5", ROWS[::2])
    part(path, "c.h5", np.pad(ROWS[1::2], ((3, 2), (1, 0))))
    inside = h5py.VirtualSource("c.h5", "q", shape=(15, 3))[3:13, 1:]
    virtual(path, (slice(0, 20, 2), "b.h5", None), (slice(1, 20, 2), "c.h5", inside))
    assert audit.gap(audit.find("q"), 0, 20) == ""
    assert np.array_equal(audit.rows(audit.find("q"), 4, 17), ROWS[4:17])
    assert list(audit.readers.values()) == ["h5py"]


def test_virtual_datasets_whose_sources_are_not_there(path: Path, audit: HDF5Recording) -> None:
    part(path, "b.h5", ROWS[:10])
    virtual(path, (slice(0, 10), "b.h5", None))
    assert (
        audit.gap(audit.find("q"), 0, 20)
        == "a.hdf5:/q: 10 rows between 10 and 19 have no source in this virtual dataset"
    )
    assert audit.gap(audit.find("q"), 0, 10) == ""


def test_a_virtual_dataset_of_a_shorter_source(path: Path, audit: HDF5Recording) -> None:
    part(path, "b.h5", ROWS[:10])
    part(path, "c.h5", ROWS[:4])
    cut = h5py.VirtualSource("c.h5", "q", shape=(10, 2))[2:10]
    virtual(path, (slice(0, 10), "b.h5", None), (slice(10, 18), "c.h5", cut))
    expected = "a.hdf5:/q takes rows 10..17 from c.h5:q: it has shape (4, 2) and ends before (9, 1)"
    assert audit.gap(audit.find("q"), 0, 18) == expected
    assert audit.gap(audit.find("q"), 0, 10) == ""


def test_a_virtual_dataset_of_rows_that_were_never_written(path: Path, audit: HDF5Recording) -> None:
    with h5py.File(path.with_name("b.h5"), "w") as file:
        file.create_dataset("q", (20, 2), "f4", chunks=(5, 2))[:10] = 1
    first = h5py.VirtualSource("b.h5", "q", shape=(20, 2))[:10]
    virtual(
        path, (slice(0, 10), "", first), (slice(10, 20), "b.h5", h5py.VirtualSource("b.h5", "q", shape=(20, 2))[10:])
    )
    assert "b.h5:/q: 10 rows between 10 and 19 have no stored chunks" in audit.gap(audit.find("q"), 0, 20)
    assert audit.gap(audit.find("q"), 0, 10) == ""


def test_virtual_datasets_of_virtual_datasets(path: Path, audit: HDF5Recording) -> None:
    part(path, "c.h5", ROWS[:15])
    virtual(path.with_name("b.h5"), (slice(0, 15), "c.h5", None))
    virtual(path, (slice(0, 20), "b.h5", None))
    expected = "a.hdf5:/q takes rows 0..19 from b.h5:q: b.h5:/q: 5 rows between 15 and 19 have no source"
    assert audit.gap(audit.find("q"), 0, 20).startswith(expected)


def test_a_virtual_dataset_that_may_grow(path: Path, audit: HDF5Recording) -> None:
    part(path, "b.h5", ROWS, maxshape=(None, 2), chunks=(5, 2))
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((20, 2), "f4", maxshape=(None, 2))
        source = h5py.VirtualSource("b.h5", "q", shape=(20, 2), maxshape=(None, 2))
        layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
        file.create_virtual_dataset("q", layout)
        circle = h5py.VirtualLayout((20, 2), "f4")
        circle[:] = h5py.VirtualSource("a.hdf5", "circle", shape=(20, 2))
        file.create_virtual_dataset("circle", circle)
    assert audit.gap(audit.find("q"), 0, 20) == ""
    assert np.array_equal(audit.rows(audit.find("q"), 3, 20), ROWS[3:])
    assert audit.gap(audit.find("circle"), 0, 20) == ""  # HDF5 itself refuses to read it


def test_an_external_file_that_ends_early(path: Path, audit: HDF5Recording) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("q", (20, 2), "f4", external=[("one.raw", 4, 80), ("two.raw", 0, 80)])
    path.with_name("one.raw").write_bytes(b"head" + ROWS[:10].tobytes())
    path.with_name("two.raw").write_bytes(ROWS[10:16].tobytes() + b"...")
    gap = audit.gap(audit.find("q"), 0, 20)
    assert gap == f"a.hdf5:/q has no data for rows 16..19: {path.with_name('two.raw')} is too short"
    assert audit.gap(audit.find("q"), 0, 16) == ""
    assert np.array_equal(audit.rows(audit.find("q"), 8, 16), ROWS[8:16])  # of both files


@pytest.mark.parametrize("chunks", [None, (1, 8, 8, 3), (60, 3, 5, 2), (7, 8, 8, 3)], ids=str)
@pytest.mark.parametrize("band_bytes", [1 << 30, 2000])
def test_batches_in_bounded_memory(
    path: Path, audit: HDF5Recording, monkeypatch: pytest.MonkeyPatch, chunks: tuple | None, band_bytes: int
) -> None:
    monkeypatch.setattr("robotrove.verification.audit.hdf5_recording._BATCH_BYTES", 800)
    monkeypatch.setattr("robotrove.verification.audit.hdf5_recording._BAND_BYTES", band_bytes)
    frames = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("front", data=frames, chunks=chunks)
    batches = list(audit.batches(audit.find("front"), 5, 58))
    assert np.array_equal(np.concatenate(batches), frames[5:58])
    assert max(batch.nbytes for batch in batches) <= 800


def test_what_cannot_be_opened(path: Path, audit: HDF5Recording) -> None:
    with pytest.raises(RobotroveError, match="is unreadable for h5py"):
        audit.find("q")
    path.write_bytes(b"no HDF5")
    with pytest.raises(RobotroveError, match="is unreadable for h5py"):
        audit.find("q")


@pytest.mark.parametrize("axes", [(), (2,)], ids=["numbers", "arrays"])
def test_rows_of_an_external_file_that_the_reader_has_open(path: Path, audit: HDF5Recording, axes: tuple[int]) -> None:
    path.with_name("q.raw").write_bytes(ROWS.tobytes())
    with h5py.File(path, "w") as file:
        shape, dtype = ((20,), np.dtype(("f4", axes))) if axes else ((20, 2), np.dtype("f4"))
        file.create_dataset("q", shape, dtype, external=[("q.raw", 0, ROWS.nbytes)])
    with h5py.File(path) as file:
        held = lookup(file, "q")  # with the folder of the recording as the place of raw files
        assert isinstance(held, h5py.Dataset)
        assert audit.gap(audit.find("q"), 0, 20) == ""
        assert np.array_equal(audit.rows(audit.find("q"), 3, 20), ROWS[3:])


def test_files_beside_a_recording_behind_a_symlink(path: Path, audit: HDF5Recording) -> None:
    store = path.parent / "store"
    store.mkdir()
    with h5py.File(store / "b.hdf5", "w") as other:
        other["q"] = ROWS
    with h5py.File(store / "a.hdf5", "w") as file:
        file["link"] = h5py.ExternalLink("b.hdf5", "/q")
        file["moved"] = h5py.ExternalLink("/recorded/b.hdf5", "/q")
        layout = h5py.VirtualLayout((20, 2), "f4")
        layout[:] = h5py.VirtualSource("b.hdf5", "q", shape=(20, 2))
        file.create_virtual_dataset("virtual", layout)
    path.symlink_to(store / "a.hdf5")
    for name in ("link", "moved", "virtual"):
        assert audit.gap(audit.find(name), 0, 20) == ""
        assert np.array_equal(audit.rows(audit.find(name), 0, 20), ROWS)


def test_texts_that_are_padded_with_spaces(path: Path, audit: HDF5Recording) -> None:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(6)
    kind.set_strpad(h5py.h5t.STR_SPACEPAD)
    with h5py.File(path, "w") as file:
        texts = h5py.h5d.create(file.id, b"q", kind, h5py.h5s.create_simple((2,)))
        texts.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([b"ab    ", b"abcdef"]), kind)
    assert audit.rows(audit.find("q"), 0, 2).tolist() == [b"ab", b"abcdef"]


def test_a_virtual_dataset_of_numbered_files_that_ends_at_the_first_missing_one(
    path: Path, audit: HDF5Recording
) -> None:
    with h5py.File(path.with_name("0.hdf5"), "w") as other:
        other["q"] = ROWS[:5]
    sources = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space = h5py.h5s.create_simple((20, 2), (h5py.h5s.UNLIMITED, 2))
    space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (5, 1), (5, 2))
    sources.set_virtual(space, b"%b.hdf5", b"q", h5py.h5s.create_simple((5, 2)))
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"q", h5py.h5t.IEEE_F32LE, space, dcpl=sources)
    assert audit.shape(audit.find("q")) == (5, 2)
    assert audit.gap(audit.find("q"), 0, 5) == ""
    assert np.array_equal(audit.rows(audit.find("q"), 0, 5), ROWS[:5])


def test_a_file_with_a_user_block(path: Path, audit: HDF5Recording) -> None:
    """MATLAB 7.3 puts 512 bytes before the HDF5 file; pyfive 1.3 reads contiguous rows 512 bytes too early."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["q"] = ROWS
    assert np.array_equal(audit.rows(audit.find("q"), 0, 20), ROWS)


def test_floats_with_room_to_spare(path: Path, audit: HDF5Recording) -> None:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_size(8)
    with h5py.File(path, "w") as file:
        stored = h5py.h5d.create(file.id, b"q", kind, h5py.h5s.create_simple(ROWS.shape))
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, ROWS)
    assert np.array_equal(audit.rows(audit.find("q"), 0, 20), ROWS)


def test_a_virtual_dataset_of_sources_that_alternate_without_a_pattern(path: Path, audit: HDF5Recording) -> None:
    taken = [[0, 1, 2, 5, 6], [3, 4, *range(7, 20)]]
    for lost in ((), (4,)):
        sources = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        for number, rows in enumerate(taken):
            space = h5py.h5s.create_simple((20, 2))
            space.select_none()
            kept = [row for row in rows if row not in lost]
            for row in kept:
                space.select_hyperslab((row, 0), (1, 1), None, (1, 2), op=h5py.h5s.SELECT_OR)
            with h5py.File(path.with_name(f"{number}{len(lost)}.hdf5"), "w") as other:
                other["q"] = ROWS[kept]
            name = f"{number}{len(lost)}.hdf5".encode()
            sources.set_virtual(space, name, b"q", h5py.h5s.create_simple((len(kept), 2)))
        with h5py.File(path, "a") as file:
            shape = h5py.h5s.create_simple((20, 2))
            h5py.h5d.create(file.id, b"lost" if lost else b"whole", h5py.h5t.IEEE_F32LE, shape, dcpl=sources)
    assert audit.gap(audit.find("whole"), 0, 20) == ""
    assert audit.gap(audit.find("lost"), 0, 20).startswith("a.hdf5:/lost: 1 rows between 4 and 4 have no source")


def test_rows_of_a_virtual_dataset_whose_source_was_written_in_part(path: Path, audit: HDF5Recording) -> None:
    with h5py.File(path.with_name("50%.hdf5"), "w") as other:
        other.create_dataset("q", ROWS.shape, "f4", chunks=(5, 2))[:10] = ROWS[:10]
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((20, 2), "f4")
        layout[:] = h5py.VirtualSource("50%%.hdf5", "q", (20, 2))  # in such a name %% stands for %
        file.create_virtual_dataset("q", layout)
    assert audit.gap(audit.find("q"), 0, 10) == ""
    assert "between 10 and 10 have no stored chunks" in audit.gap(audit.find("q"), 3, 11)


@pytest.mark.parametrize("way", ["link", "virtual", "raw file"])
def test_files_outside_of_the_folder_are_not_opened(tmp_path: Path, way: str) -> None:
    for folder in ("recordings", "private"):
        (tmp_path / folder).mkdir()
    secret = tmp_path / "private" / ("q.raw" if way == "raw file" else "q.h5")
    secret.write_bytes(np.arange(8, dtype=np.float32).tobytes())
    if way != "raw file":
        with h5py.File(secret, "w") as file:
            file["q"] = np.arange(8, dtype=np.float32)
    with h5py.File(tmp_path / "recordings" / "a.h5", "w") as file:
        if way == "link":
            file["q"] = h5py.ExternalLink(str(secret), "/q")
        elif way == "virtual":
            layout = h5py.VirtualLayout((8,), "f4")
            layout[:] = h5py.VirtualSource(str(secret), "q", shape=(8,))
            file.create_virtual_dataset("q", layout)
        else:
            file.create_dataset("q", (8,), "f4", external=[(str(secret), 0, 32)])
    with HDF5Recording(tmp_path / "recordings" / "a.h5") as recording:
        with pytest.raises(RobotroveError, match="outside of the folders") as caught:
            recording.rows(recording.find("/q"), 0, 8)
        assert caught.value.where == str(secret)
        recording.allow([secret])
        np.testing.assert_array_equal(recording.rows(recording.find("/q"), 0, 8), np.arange(8))
