from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected, RobotroveError
from robotrove.formats.hdf5 import chunked_rows
from robotrove.formats.hdf5.chunked_rows import ChunkedRows, block_grid

SHAPE = (50, 12, 20, 3)
FRAME = 12 * 20 * 3
ROWS = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
CHUNKS = [
    None,
    (1, 12, 20, 3),
    (7, 12, 20, 3),
    (13, 5, 7, 1),
    (13, 5, 7, 2),
    (13, 12, 20, 1),
    (50, 1, 20, 3),
    (64, 12, 20, 3),
]


@pytest.fixture(params=CHUNKS, ids=str)
def chunks(request: pytest.FixtureRequest) -> tuple[int, ...] | None:
    return request.param


@pytest.fixture(params=["gzip", "lzf", None])
def path(request: pytest.FixtureRequest, chunks: tuple[int, ...] | None, tmp_path: Path) -> Path:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        options = {"compression": request.param, "chunks": chunks, "maxshape": (None, *SHAPE[1:])} if chunks else {}
        file.create_dataset("frames", data=ROWS, **options)
    return path


@pytest.mark.parametrize("limits", [
    {"band_bytes": 1 << 30, "slab_bytes": 1 << 30},  # everything in memory
    {"band_bytes": FRAME, "slab_bytes": 1 << 20},  # scratch, a block holds all
    {"band_bytes": FRAME, "slab_bytes": 4 * FRAME},  # scratch, several blocks, or parts of one chunk
    {"band_bytes": FRAME, "slab_bytes": 1},  # scratch, row by row
])  # fmt: skip
@pytest.mark.parametrize(("start", "stop"), [(0, 50), (9, 10), (5, 31), (13, 26), (49, 50), (20, 20)])
def test_rows_come_as_they_are_in_bounded_batches(path: Path, limits: dict[str, int], start: int, stop: int) -> None:
    with h5py.File(path, "r") as file:
        batches = list(ChunkedRows(file, "/frames", batch_bytes=4 * FRAME, **limits).batches(start, stop))
    assert all(len(batch) <= 4 for batch in batches)
    assert sum(map(len, batches)) == stop - start
    if batches:
        np.testing.assert_array_equal(np.concatenate(batches), ROWS[start:stop])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts reads with Linux's /proc")
@pytest.mark.parametrize("chunks", [(100, 24, 32, 3), (20, 8, 8, 1), (30, 24, 32, 3)], ids=str)
@pytest.mark.parametrize("band_bytes", [1, 1 << 30])
@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_each_chunk_is_read_once(tmp_path: Path, chunks: tuple[int, ...], band_bytes: int, compression: str) -> None:
    frames = np.random.default_rng(0).integers(0, 64, (100, 24, 32, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("f", data=frames, chunks=chunks, compression=compression)
    with h5py.File(tmp_path / "a.hdf5", "r", rdcc_nbytes=0) as file:
        stored = file["f"].id.get_storage_size()
        before = read_bytes()
        reader = ChunkedRows(file, "/f", batch_bytes=20_000, slab_bytes=20_000, band_bytes=band_bytes)
        assert sum(len(batch) for batch in reader.batches(0, 100)) == 100
        taken = read_bytes() - before
    from_scratch = frames.nbytes if band_bytes == 1 else 0
    assert stored <= taken - from_scratch < 1.2 * stored + 30_000


def read_bytes() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_blocks_cover_every_item_once_within_the_limit() -> None:
    for chunks, limit in [((313, 30, 40, 1), 16 << 20), ((1563, 15, 20, 1), 16 << 20), ((100, 480, 640, 3), 16 << 20)]:
        seen = np.zeros((480, 640, 3), np.uint8)
        for block in block_grid((10_000, 480, 640, 3), chunks, chunks[0], limit):
            seen[block] += 1
            assert chunks[0] * seen[block].size <= max(limit, np.prod(chunks))
            assert all(part.start % size == 0 for part, size in zip(block, chunks[1:], strict=True))
        assert (seen == 1).all()


def test_batches_do_not_keep_the_band(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("f", data=ROWS, chunks=(50, 12, 20, 3), compression="gzip")
        batch = next(ChunkedRows(file, "/f", batch_bytes=4 * FRAME).batches(0, 50))
    assert batch.base is None or batch.base.nbytes <= 4 * FRAME


def test_scratch_files_go_where_they_are_told_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    real = chunked_rows.tempfile.TemporaryFile
    monkeypatch.setattr(chunked_rows.tempfile, "TemporaryFile", lambda dir, prefix: used.append(dir) or real(dir=dir))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("ROBOTROVE_SCRATCH", str(scratch))
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("f", data=ROWS, chunks=(50, 12, 20, 3), compression="gzip")
        batches = ChunkedRows(file, "/f", batch_bytes=FRAME, band_bytes=FRAME).batches(0, 50)
        next(batches)
        assert os.listdir(scratch) == []
        batches.close()
    assert used == [str(scratch)]


def test_a_full_or_missing_scratch_folder_is_not_the_episodes_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("f", data=ROWS, chunks=(50, 12, 20, 3), compression="gzip")
        reader = ChunkedRows(file, "/f", batch_bytes=FRAME, band_bytes=FRAME)
        monkeypatch.setenv("ROBOTROVE_SCRATCH", str(tmp_path / "none"))
        with pytest.raises(RobotroveError, match="ROBOTROVE_SCRATCH") as caught:
            next(reader.batches(0, 50))
        assert not isinstance(caught.value, EpisodeRejected)

        def full(data: object) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(RobotroveError, match="No space left") as caught:
            chunked_rows._write(SimpleNamespace(write=full), ROWS)
        assert not isinstance(caught.value, EpisodeRejected)


@pytest.mark.parametrize("band_bytes", [1, 1 << 30])
def test_a_damaged_chunk_rejects_the_episode(tmp_path: Path, band_bytes: int) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("f", data=ROWS, chunks=(10, 12, 20, 3), compression="gzip")
        where = dataset.id.get_chunk_info(3)
    with open(path, "r+b") as stream:
        stream.seek(where.byte_offset)
        stream.write(b"\xff" * 200)
    with h5py.File(path, "r") as file:
        batches = ChunkedRows(file, "/f", batch_bytes=10 * FRAME, band_bytes=band_bytes).batches(0, 50)
        np.testing.assert_array_equal(np.concatenate([next(batches) for _ in range(3)]), ROWS[:30])
        with pytest.raises(EpisodeRejected, match="/f rows 3") as caught:
            next(batches)
    assert caught.value.reason == "unreadable_data"
