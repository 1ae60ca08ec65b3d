"""Rows that HDF5 would make up: never written, not covered by a source, or of a file that is missing or ends early."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5.hdf5_file import lookup, open_hdf5
from robotrove.formats.hdf5.mapping import ColumnSpec, build_column
from robotrove.formats.hdf5.stored_rows import check_rows
from robotrove.media.image.images import encode_jpeg
from robotrove.tests.support.missing_filter import packed_by_zfp

ROWS = np.arange(40, dtype=np.float32).reshape(20, 2)
UNLIMITED = h5py.h5s.UNLIMITED


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the current one is another, with files of the names that the tests use."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("part.h5", "p1.h5"):
        with h5py.File(here / name, "w") as file:
            file["q"] = file["x"] = ROWS - 1000
    (here / "side.raw").write_bytes((ROWS - 1000).tobytes())
    monkeypatch.chdir(here)
    (tmp_path / "day").mkdir()
    return tmp_path / "day"


def said(path: Path, start: int = 0, stop: int = 20, name: str = "q") -> str:
    """Return why rows are refused, "" if they are not."""
    with open_hdf5(path, locking=True) as file:
        try:
            check_rows(lookup(file, name), start, stop)
        except EpisodeRejected as exc:
            return f"{exc.reason}: {exc.detail}"
    return ""


def values(path: Path, name: str = "q") -> Any:
    """Return the rows as a column has them."""
    with open_hdf5(path, locking=False) as file:
        return build_column(file["/"], ColumnSpec(source=name), "x").read()


def rows_of(text: str) -> str:
    return text.partition(": row")[2].partition(" of ")[0].removeprefix("s").strip()


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize(
    ("storage", "written", "missing"),
    [
        ({"chunks": (4, 2)}, [slice(0, 8)], "8..19"),
        ({"chunks": (4, 1)}, [slice(0, 8)], "8..19"),
        ({"chunks": (3, 2)}, [slice(0, 20)], ""),
        ({"chunks": (3, 2)}, [slice(0, 3), slice(18, 20)], "3..17"),
        ({"chunks": (1, 2), "maxshape": (None, 2)}, [slice(0, 5), 7, slice(9, 20)], "5..6, 8"),
        ({"chunks": (8, 2), "maxshape": (None, None)}, [slice(8, 20)], "0..7"),
        ({"chunks": (4, 2), "compression": "gzip", "shuffle": True, "fletcher32": True}, [slice(4, 20)], "0..3"),
        ({"chunks": (20, 2)}, [], "0..19"),
        ({"chunks": (20, 2)}, [3], ""),
        ({"chunks": (32, 4), "maxshape": (None, None)}, [19], ""),
        ({}, [], "0..19"),
        ({}, [0], ""),  # HDF5 allocates a contiguous dataset whole
        ({"fillvalue": 3, "chunks": (5, 2)}, [slice(0, 10)], "10..19"),
    ],
)
def test_chunks_without_storage(folder: Path, libver: str, storage: Any, written: Any, missing: str) -> None:
    with h5py.File(folder / "a.h5", "w", libver=libver) as file:
        dataset = file.create_dataset("q", (20, 2), "f4", **storage)
        for part in written:
            dataset[part] = 0  # zeros that were written are data
    text = said(folder / "a.h5")
    assert rows_of(text) == missing
    assert (not missing) or (text.startswith("missing_rows: ") and "/q in a.h5" in text)


def test_only_a_column_of_chunks_is_missing(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("q", (20, 6), "f4", chunks=(4, 2))
        dataset[:, :2] = dataset[:8, 2:4] = dataset[:, 4:] = 1
    assert rows_of(said(folder / "a.h5")) == "8..19"


def test_only_rows_in_use_count(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("q", (20, 2), "f4", chunks=(4, 2))[4:12] = ROWS[4:12]
    assert [rows_of(said(folder / "a.h5", *used)) for used in ((4, 12), (3, 12), (6, 14), (0, 20))] == [
        "", "3", "12..13", "0..3, 12..19",
    ]  # fmt: skip


def test_many_gaps_are_counted(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("q", (20, 2), "f4", chunks=(1, 2))
        for row in range(0, 20, 2):
            dataset[row] = 1
    assert rows_of(said(folder / "a.h5")) == "1, 3, 5, 7, 9 and 5 more"


@pytest.mark.parametrize("dtype", [h5py.string_dtype(), h5py.vlen_dtype(np.uint8), "S5", "i1", "?"])
@pytest.mark.parametrize("chunks", [None, (5,)])
def test_other_dtypes(folder: Path, dtype: Any, chunks: Any) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("q", (20,), dtype, chunks=chunks)
        if chunks:
            dataset[:10] = (
                [np.array([1, 2], np.uint8)] * 10 if h5py.check_vlen_dtype(dataset.dtype) == np.uint8 else b"1"
            )
    assert rows_of(said(folder / "a.h5")) == ("10..19" if chunks else "0..19")


def test_small_and_empty_datasets_have_all_their_rows(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_layout(h5py.h5d.COMPACT)
        compact = h5py.h5d.create(file.id, b"q", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((20, 2)), made)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, ROWS)
        file.create_dataset("none", (0, 2), "f4", chunks=(4, 2), maxshape=(None, 2))
        file.create_dataset("flat", (20, 0), "f4")
    assert [said(folder / "a.h5", name=name) for name in ("q", "none", "flat")] == ["", "", ""]


def test_storage_that_shrank_and_grew(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("q", (20, 2), "f4", chunks=(4, 2), maxshape=(None, 2))
        dataset[:] = ROWS
        dataset.resize((6, 2))
        dataset.resize((20, 2))
    assert rows_of(said(folder / "a.h5")) == "8..19"


def raw(path: Path, *segments: tuple[str, int, int], shape: tuple[int, ...] = (20, 2)) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("q", shape, "f4", external=list(segments))
    return path


def test_raw_files_are_read_beside_the_recording(folder: Path) -> None:
    data = ROWS.tobytes()
    path = raw(folder / "a.h5", ("side.raw", 0, 80), ("more/second.raw", 12, UNLIMITED))
    text = said(path)
    assert (text.startswith("missing_file"), rows_of(text), "side.raw" in text) == (True, "0..9", True)
    (folder / "side.raw").write_bytes(data[:80])
    text = said(path)
    assert (text.startswith("missing_file"), rows_of(text), "second.raw" in text) == (True, "10..19", True)
    assert said(path, 0, 10) == ""
    (folder / "more").mkdir()
    (folder / "more" / "second.raw").write_bytes(bytes(12) + data[80:-1])
    text = said(path)
    assert (text.startswith("missing_rows"), rows_of(text), "91 of 92 bytes" in text) == (True, "19", True)
    (folder / "more" / "second.raw").write_bytes(bytes(12) + data[80:])
    assert said(path) == ""
    np.testing.assert_array_equal(values(path), ROWS)
    (folder / "side.raw").write_bytes(data[:33])
    assert rows_of(said(path)) == "4..9"
    absolute = raw(folder / "b.h5", (str(folder / "whole.raw"), 0, 160))
    (folder / "whole.raw").write_bytes(data)
    np.testing.assert_array_equal(values(absolute), ROWS)


def test_a_raw_camera_is_read_beside_the_recording(folder: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), np.uint8)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("q", frames.shape, "u1", external=[("side.raw", 0, frames.nbytes)])
        file["q"].attrs["note"] = "raw"
    (folder / "side.raw").write_bytes(frames.tobytes())
    np.testing.assert_array_equal(values(folder / "a.h5"), frames)


Parts = list[tuple[Any, str, str, tuple[int, ...], Any]]


def virtual(path: Path, parts: Parts, shape: tuple[int, ...] = (20, 2), maxshape: Any = None) -> Path:
    """Write a virtual dataset: per part its selection, file, dataset, shape of that, and selection of that."""
    layout = h5py.VirtualLayout(shape, "f4", maxshape=maxshape)
    for to, name, dataset, size, taken in parts:
        layout[to] = h5py.VirtualSource(name, dataset, shape=size, maxshape=maxshape)[taken]
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("q", layout)
    return path


@pytest.fixture
def part(folder: Path) -> Iterator[h5py.File]:
    """The file part.h5 beside the recordings, open for writing."""
    with h5py.File(folder / "part.h5", "w") as file:
        file["rows"], file["rest"] = ROWS, ROWS[::-1].copy()
        yield file


ALL = slice(None)
GOOD: dict[str, Parts] = {
    "whole": [(ALL, "part.h5", "rows", (20, 2), ALL)],
    "halves": [
        (slice(0, 12), "part.h5", "rows", (20, 2), slice(0, 12)),
        (slice(12, 20), "part.h5", "rows", (20, 2), slice(12, 20)),
    ],
    "interleaved": [
        (slice(0, 20, 2), "part.h5", "rows", (20, 2), slice(0, 20, 2)),
        (slice(1, 20, 2), "part.h5", "rows", (20, 2), slice(1, 20, 2)),
    ],
    "side by side": [
        ((ALL, slice(0, 1)), "part.h5", "rows", (20, 2), (ALL, slice(0, 1))),
        ((ALL, slice(1, 2)), "./part.h5", "/rows", (20, 2), (ALL, slice(1, 2))),
    ],
    "single rows": [(row, "part.h5", "rows", (20, 2), row) for row in range(20)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_virtual_datasets(folder: Path, part: h5py.File, name: str) -> None:
    path = virtual(folder / "a.h5", GOOD[name])
    part.close()
    assert said(path) == ""
    np.testing.assert_array_equal(values(path), ROWS)


BAD: dict[str, tuple[Parts, str, str]] = {
    "file": ([(ALL, "gone.h5", "rows", (20, 2), ALL)], "missing_file", "0..19"),
    "file of the current folder": ([(ALL, "p1.h5", "x", (20, 2), ALL)], "missing_file", "0..19"),
    "dataset": ([(ALL, "part.h5", "gone", (20, 2), ALL)], "missing_dataset", "0..19"),
    "group": ([(ALL, "part.h5", "group", (20, 2), ALL)], "missing_dataset", "0..19"),
    "link": ([(ALL, "part.h5", "lost", (20, 2), ALL)], "missing_dataset", "0..19"),
    "no HDF5": ([(ALL, "text.h5", "rows", (20, 2), ALL)], "not_hdf5", "0..19"),
    "short": ([(ALL, "part.h5", "short", (20, 2), ALL)], "missing_rows", "12..19"),
    "narrow": ([(ALL, "part.h5", "narrow", (20, 2), ALL)], "missing_rows", "0..19"),
    "flat": ([(ALL, "part.h5", "flat", (40,), ALL)], "missing_rows", "12..19"),
    "not covered": ([(slice(3, 18), "part.h5", "rows", (20, 2), slice(3, 18))], "missing_rows", "0..2, 18..19"),
    "one column": ([((ALL, slice(0, 1)), "part.h5", "rows", (20, 2), (ALL, slice(0, 1)))], "missing_rows", "0..19"),
    "never written": ([(ALL, "part.h5", "chunks", (20, 2), ALL)], "missing_rows", "8..19"),
    "every second": ([(slice(0, 10), "part.h5", "chunks", (20, 2), slice(0, 20, 2)),
                      (slice(10, 20), "part.h5", "rows", (20, 2), slice(0, 10))], "missing_rows", "4..9"),
    "overlap": ([(slice(0, 15), "part.h5", "rows", (20, 2), slice(0, 15)),
                 (slice(5, 20), "part.h5", "rows", (20, 2), slice(5, 20))], "missing_rows", "0..19"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_virtual_datasets(folder: Path, part: h5py.File, name: str) -> None:
    (folder / "text.h5").write_text("hello" * 200)
    part["short"], part["narrow"], part["flat"] = ROWS[:12], ROWS[:, :1], ROWS[:12].ravel()
    part.create_dataset("chunks", (20, 2), "f4", chunks=(4, 2))[:8] = 1
    part["lost"] = h5py.SoftLink("/nowhere")
    part.create_group("group")
    part.close()
    parts, reason, rows = BAD[name]
    text = said(virtual(folder / "a.h5", parts))
    assert (text.partition(":")[0], rows_of(text)) == (reason, rows), text
    assert parts[0][1] in text or name in ("not covered", "one column", "overlap")


def test_sources_of_sources(folder: Path, part: h5py.File) -> None:
    """A virtual dataset of one that is virtual too, over raw files and rows that were never written."""
    side = folder / "side.raw"
    part.create_dataset("raw", (20, 2), "f4", external=[(str(side), 0, 160)])
    part.create_dataset("relative", (20, 2), "f4", external=[("side.raw", 0, 160)])
    part.close()
    virtual(folder / "middle.h5", [
        (slice(0, 10), "part.h5", "raw", (20, 2), slice(0, 10)), (slice(10, 20), ".", "own", (10, 2), ALL),
    ])  # fmt: skip
    with h5py.File(folder / "middle.h5", "a") as file:
        file.create_dataset("own", (10, 2), "f4", chunks=(5, 2))[:5] = ROWS[10:15]
    path = virtual(folder / "a.h5", [(ALL, "middle.h5", "q", (20, 2), slice(None))])
    text = said(path)
    assert (text.startswith("missing_file"), rows_of(text), "side.raw" in text) == (True, "0..9", True)
    side.write_bytes(ROWS.tobytes())
    text = said(path)
    assert (text.startswith("missing_rows"), rows_of(text), "/own in middle.h5" in text) == (True, "15..19", True)
    with h5py.File(folder / "middle.h5", "a") as file:
        file["own"][:] = ROWS[10:]
    with open_hdf5(path, locking=False) as file:
        files: set[Path] = set()
        check_rows(lookup(file, "q"), 0, 20, files)
    assert {found.name for found in files} == {"middle.h5", "part.h5", "side.raw"}
    np.testing.assert_array_equal(values(path), ROWS)
    text = said(virtual(folder / "b.h5", [(ALL, "part.h5", "relative", (20, 2), ALL)]))  # HDF5 takes here/side.raw
    assert (text.startswith("missing_file"), rows_of(text), "absolute" in text) == (True, "0..19", True)


def test_a_circle_of_virtual_datasets(folder: Path) -> None:
    virtual(folder / "a.h5", [(ALL, "b.h5", "q", (20, 2), ALL)])
    virtual(folder / "b.h5", [(ALL, "a.h5", "q", (20, 2), ALL)])
    text = said(folder / "a.h5")
    assert (text.startswith("missing_rows"), "circle" in text) == (True, True)


def test_sources_that_grow(folder: Path, part: h5py.File) -> None:
    for name, rows in (("even", ROWS[::2]), ("odd", ROWS[1::2])):
        part.create_dataset(name, data=rows, maxshape=(None, 2), chunks=(5, 2))
    growing = slice(0, UNLIMITED, 1)
    parts: Parts = [
        (slice(begin, UNLIMITED, 2), "part.h5", name, (10, 2), growing) for begin, name in enumerate(("even", "odd"))
    ]
    part.close()
    path = virtual(folder / "a.h5", parts, maxshape=(None, 2))
    assert said(path) == ""
    np.testing.assert_array_equal(values(path), ROWS)
    with h5py.File(folder / "part.h5", "a") as file:
        file["odd"].resize((6, 2))
    assert rows_of(said(path)) == "13, 15, 17"
    (folder / "part.h5").unlink()
    text = said(path)
    assert (text.startswith("missing_file"), "part.h5" in text, "even" in text) == (True, True, True)


def numbered(path: Path) -> Path:
    """Write a virtual dataset of blocks of two rows, from p0.h5, p1.h5 …"""
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4, 2), (UNLIMITED, 2))
        space.select_hyperslab((0, 0), (UNLIMITED, 1), (2, 2), (2, 2))
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_virtual(space, b"p%b.h5", b"x%%%b", h5py.h5s.create_simple((2, 2)))
        h5py.h5d.create(file.id, b"q", h5py.h5t.IEEE_F32LE, space, made)
    return path


def test_numbered_sources(folder: Path) -> None:
    path = numbered(folder / "a.h5")
    for number in range(3):
        with h5py.File(folder / f"p{number}.h5", "w") as file:
            file[f"x%{number}"] = ROWS[2 * number : 2 * number + 2]
    assert said(path, 0, 6) == ""
    np.testing.assert_array_equal(values(path), ROWS[:6])
    with h5py.File(folder / "p1.h5", "a") as file:
        del file["x%1"]
        file.create_dataset("x%1", (2, 2), "f4", chunks=(1, 2))[:1] = 1
    text = said(path, 0, 6)
    assert (rows_of(text), "p1.h5" in text) == ("3", True)


@pytest.mark.parametrize("first", [0, 1])
def test_numbered_sources_with_a_gap(folder: Path, first: int) -> None:
    """HDF5 makes the dataset as long as the sources before the gap."""
    path = numbered(folder / "a.h5")
    for number in range(3):
        with h5py.File(folder / f"p{number}.h5", "w") as file:
            file[f"x%{number}"] = ROWS[2 * number : 2 * number + 2]
    (folder / f"p{first}.h5").unlink()
    with h5py.File(path) as file:
        assert len(file["q"]) == 2 * first
    text = said(path, 0, 2 * first)
    assert text.startswith("missing_file")
    assert f"p{first}.h5 is missing, p{first + 1}.h5 is not" in text
    for number in range(first + 1, 3):
        (folder / f"p{number}.h5").unlink()
    assert "is not" not in said(path, 0, 2 * first)


def test_a_missing_filter_of_a_source_and_of_a_dataset(folder: Path) -> None:
    with h5py.File(folder / "part.h5", "w") as file:
        packed_by_zfp(file, (20, 2))
    path = virtual(folder / "a.h5", GOOD["halves"])
    for text in (said(path), said(folder / "part.h5", name="rows")):
        assert text.startswith("missing_filter: ")
        assert all(word in text for word in ("zfp", "32013", "hdf5plugin", "part.h5", "/rows"))


@pytest.mark.parametrize("variable", ["HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX"])
def test_prefixes_of_the_environment(
    folder: Path, part: h5py.File, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part.close()
    path = virtual(folder / "a.h5", GOOD["whole"])
    if variable == "HDF5_EXTFILE_PREFIX":
        (folder / "side.raw").write_bytes(ROWS.tobytes())
        path = raw(folder / "b.h5", ("side.raw", 0, 160))
    assert said(path) == ""
    monkeypatch.setenv(variable, os.fspath(folder))
    assert variable in said(path)


def test_a_source_that_is_open_with_other_locks(folder: Path, part: h5py.File) -> None:
    part.close()
    path = virtual(folder / "a.h5", GOOD["whole"])
    with h5py.File(folder / "part.h5", "r", locking=False):  # HDF5 cannot open it for a.h5, and would give zeros
        text = said(path)
    assert (text.startswith("unreadable_file"), rows_of(text), "part.h5" in text) == (True, "0..19", True)
    assert said(path) == ""


@pytest.mark.parametrize(
    ("shape", "dtype", "found"),
    [
        ((2**40,), "f4", "1,099,511,627,776 rows, and an episode has at most 16,777,216"),
        ((10, 2**30), "f8", "rows of 1,073,741,824 values, and they have at most 1,048,576"),
        ((2**20, 1024), "f8", "8,589,934,592 bytes, and the vectors of an episode have at most 4,294,967,296"),
        ((10, 20_000, 64, 3), "u1", "rows of (20000, 64, 3), and sides of pictures have at most 16,384 pixels"),
    ],
)
def test_sizes_that_are_only_declared(folder: Path, shape: tuple[int, ...], dtype: str, found: str) -> None:
    """To ask for a byte per row would take a terabyte."""
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("q", shape, dtype, chunks=(1, *(min(n, 256) for n in shape[1:])))
    with open_hdf5(folder / "a.h5", locking=True) as file:
        with pytest.raises(EpisodeRejected) as caught:
            check_rows(lookup(file, "q"), 0, shape[0])
        assert (caught.value.reason, caught.value.detail) == ("too_large", f"/q in a.h5 declares {found}")


def test_more_is_declared_than_any_compression_packs(folder: Path) -> None:
    """Packed twice, zeros take a millionth."""
    with h5py.File(folder / "a.h5", "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((2**20, 16))
        for _ in range(2):
            made.set_deflate(9)
        space = h5py.h5s.create_simple((2**23, 16))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"q", h5py.h5t.STD_I32LE, space, made))
        for first in range(0, 2**23, 2**20):
            dataset[first : first + 2**20] = 0
        stored = dataset.id.get_storage_size()
        assert 0 < stored < 5000
    found = (
        f"too_large: /q in a.h5 declares 536,870,912 bytes and stores {stored:,}, which no compression makes of data"
    )
    assert said(folder / "a.h5", 0, 2**23) == found
    assert said(folder / "a.h5", 0, 2**20) == ""  # an episode of it, 64 MB


def test_a_picture_that_declares_more_than_memory_holds(folder: Path) -> None:
    header = bytearray(encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    at = header.index(b"\xff\xc0")  # ITU-T T.81, B.2.2: marker, length, bits, height, width
    header[at + 5 : at + 9] = (60_000).to_bytes(2, "big") * 2
    with h5py.File(folder / "a.h5", "w") as file:
        rows = file.create_dataset("q", (2,), h5py.vlen_dtype(np.uint8))
        for row in range(2):
            rows[row] = np.frombuffer(header, np.uint8)
    with open_hdf5(folder / "a.h5", locking=True) as file, pytest.raises(EpisodeRejected) as caught:
        build_column(file["/"], ColumnSpec(source="q"), "observation.images.front")
    assert caught.value.reason == "too_large"
    assert "a picture of 60,000 x 60,000 pixels in" in caught.value.detail
