"""The content digest is that of the values, and the same whether planning or a run computes it."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.columns import Column
from robotrove.formats.hdf5.columns import FrameColumn
from robotrove.formats.hdf5.content_digest import content_digest
from robotrove.formats.hdf5.layouts.generic import GenericLayout
from robotrove.formats.hdf5.mapping import ColumnSpec, build_column
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.manifests.manifest import Manifest
from robotrove.media.image.images import encode_jpeg
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline

ROWS = 9
FRAMES = np.stack(list(pictures(ROWS, 48, 64, 0, seed=1)))
JPEGS = [np.frombuffer(encode_jpeg(frame), np.uint8) for frame in FRAMES]
COLUMNS = {"action": "q", "observation.state": "q", "observation.images.front": {"from": "front", "kind": "video"}}


def padded(width: int) -> np.ndarray:
    rows = np.zeros((ROWS, width), np.uint8)
    for row, data in zip(rows, JPEGS, strict=True):
        row[: len(data)] = data
    return rows


def vlen() -> dict[str, Any]:
    rows = np.empty(ROWS, object)
    rows[:] = JPEGS
    return {"data": rows, "dtype": h5py.vlen_dtype(np.uint8)}


# As a camera is stored; rows that are padded to more than 64 KiB are no numbers.
STORED: dict[str, dict[str, Any]] = {
    "raw": {"data": FRAMES},
    "chunked": {"data": FRAMES, "chunks": (4, 48, 64, 3), "compression": "gzip"},
    "tiles": {"data": FRAMES, "chunks": (5, 20, 30, 2), "compression": "lzf"},
    "grey": {"data": FRAMES[..., 0]},
    "floats": {"data": FRAMES / np.float32(255)},
    "vlen": vlen(),
    "padded": {"data": padded(1 << 15)},
    "padded wide": {"data": padded(1 << 17), "chunks": (2, 1 << 17), "compression": "gzip"},
}


def record(
    path: Path, camera: dict[str, Any] | None = None, change: Callable[[h5py.Group], Any] = lambda group: 0
) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("episode")
        group["q"] = np.arange(2.0 * ROWS, dtype=np.float32).reshape(ROWS, 2)
        group["unmapped/counts"] = np.arange(ROWS)
        group["unmapped/depth"] = np.arange(ROWS * 12, dtype=np.float32).reshape(ROWS, 3, 4)
        group["seed"] = 7
        group.create_dataset("front", **(camera or STORED["raw"]))
        change(group)
    return path


def digest_of(path: Path, **columns: Any) -> str:
    with h5py.File(path) as file:
        specs = {key: ColumnSpec.model_validate(source) for key, source in (COLUMNS | columns).items()}
        return GenericLayout(columns=specs, episodes="/episode").open(file, "episode").content_digest()


def test_it_is_a_hash_of_numbers_and_of_three_frames(tmp_path: Path) -> None:
    frames = b"".join(hashlib.sha256(FRAMES[row].tobytes()).digest() for row in (0, 4, 8))
    q = np.arange(2.0 * ROWS, dtype=np.float32)
    parts = [b"q\0", q.tobytes(), b"seed\0", np.int64(7).tobytes(), b"unmapped/counts\0", np.arange(ROWS).tobytes()]
    expected = hashlib.sha256(b"".join([*parts, b"front\0", frames])).hexdigest()
    assert digest_of(record(tmp_path / "a.h5")) == expected


@pytest.mark.parametrize("stored", [name for name in STORED if name in ("chunked", "tiles")])
def test_storage_does_not_matter(tmp_path: Path, stored: str) -> None:
    def repack(group: h5py.Group) -> None:
        rows = group["q"][:]
        del group["q"]
        group.create_dataset("q", data=rows, chunks=(2, 1), compression="gzip")

    plain, packed = record(tmp_path / "a.h5"), record(tmp_path / "b.h5", STORED[stored], repack)
    assert digest_of(plain) == digest_of(packed)


def assign(path: str, place: Any, value: Any) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        group[path][place] = value

    return change


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        (assign("q", (3, 1), 0.5), True),
        (assign("unmapped/counts", 5, 99), True),
        (assign("seed", (), 8), True),
        (assign("front", (0, 1, 1, 1), 3), True),
        (assign("front", (4, 0, 0, 0), 3), True),
        (assign("front", (8, 5, 5, 0), 3), True),
        (assign("front", (2, 5, 5, 0), 3), False),  # neither the first, the middle nor the last frame
        (assign("unmapped/depth", (4, 1, 1), 3), False),  # frames that no column reads
    ],
    ids=range(8),
)
def test_changes_that_it_sees(tmp_path: Path, change: Callable[[h5py.Group], None], is_another: bool) -> None:
    one, other = record(tmp_path / "a.h5"), record(tmp_path / "b.h5", change=change)
    assert (digest_of(one) != digest_of(other)) == is_another


@pytest.mark.parametrize("kind", [h5py.string_dtype(), "S20"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_an_instruction_in_a_dataset_counts(tmp_path: Path, kind: Any, shape: tuple[int, ...]) -> None:
    def instruct(text: str) -> Callable[[h5py.Group], None]:
        return lambda group: group.create_dataset("task", shape, kind).write_direct(
            np.full(shape, text.encode(), object if kind != "S20" else kind)
        )

    texts = ["pick the red cube", "pick the blue cube", "pick the red cube"]
    paths = [record(tmp_path / f"{number}.h5", change=instruct(text)) for number, text in enumerate(texts)]
    found = [digest_of(path) for path in paths]
    assert found[0] == found[2] != found[1]


def test_tensors_and_texts_that_a_column_reads_count_in_three_rows(tmp_path: Path) -> None:
    def add(middle: str, value: float) -> Callable[[h5py.Group], None]:
        def change(group: h5py.Group) -> None:
            group["note"] = np.array([middle if row == 4 else "go" for row in range(ROWS)], object)
            group["unmapped/depth"][8, 2, 2] = value

        return change

    paths = [
        record(tmp_path / f"{number}.h5", change=add(*values))
        for number, values in enumerate([("go", 1), ("stop", 1), ("go", 2), ("go", 1)])
    ]
    found = [digest_of(path, note="note", **{"observation.touch": "unmapped/depth"}) for path in paths]
    assert found[0] == found[3]
    assert len(set(found)) == 3


@pytest.mark.parametrize("name", STORED)
def test_frames_that_have_passed_are_not_read_again(tmp_path: Path, name: str) -> None:
    path = record(tmp_path / "a.h5", STORED[name])
    expected = digest_of(path)
    with h5py.File(path) as file:
        column = build_column(file["episode"], ColumnSpec(source="front", kind="video"), "observation.images.front")
        passed = [column.read(0, 3), column.read(3, ROWS)]
        assert sum(map(len, passed)) == ROWS
    assert isinstance(column, FrameColumn)
    digest = column.rows.digest()  # the file is closed
    with h5py.File(path) as file:
        again = build_column(file["episode"], ColumnSpec(source="front", kind="video"), "observation.images.front")
        assert isinstance(again, FrameColumn)
        assert again.rows.digest() == digest
        assert content_digest(file["episode"], {"q": column, "front": column}) == expected


@pytest.mark.parametrize("damaged", ["q", "unmapped/counts", "front"])
def test_damaged_data_have_none(tmp_path: Path, damaged: str) -> None:
    def damage(group: h5py.Group) -> None:
        rows = group[damaged][:]
        del group[damaged]
        group.create_dataset(damaged, data=rows, chunks=True, fletcher32=True)

    path = record(tmp_path / "a.h5", change=damage)
    assert len(digest_of(path)) == 64
    with h5py.File(path) as file:
        place = file[f"episode/{damaged}"].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as stream:
        stream.seek(place)
        stream.write(b"\xff\xfe\xfd")
    assert digest_of(path) == ""


def test_memory_does_not_grow_with_the_episode(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "long.h5", "w") as file:
        group = file.create_group("episode")
        group.create_dataset("q", (1_000_000, 16), np.float32, chunks=(1000, 16), fillvalue=1)  # 64 MB
        column: Column = build_column(group, ColumnSpec(source="q"), "action")
        tracemalloc.start()
        assert len(content_digest(group, {"q": column})) == 64
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20


STEPS: dict[str, list[Any]] = {
    "trimmed": [{"frame_trimmer": {"head": 2, "tail": 1}}],
    "as it is": [],
    "trimmed twice": [{"frame_trimmer": {"head": 1}}, {"frame_trimmer": {"head": 2, "tail": 3}}],
    "backwards": ["robotrove.tests.support.blocks.outside:Mirrored"],
    "without camera": ["robotrove.tests.support.blocks.outside:WithoutCameras"],
}


@pytest.mark.parametrize(
    ("name", "steps"), [*((name, "trimmed") for name in STORED), *(("tiles", steps) for steps in list(STEPS)[1:])]
)
def test_planning_and_run_compute_the_same(tmp_path: Path, name: str, steps: str) -> None:
    path = record(tmp_path / "a.h5", STORED[name])
    source = {"columns": COLUMNS, "options": {"episodes": "/episode"}, "task": "t", "fps": 10}
    pipeline = write_pipeline(tmp_path, [path], "generic", source=source, steps=STEPS[steps])
    run_here(pipeline, tmp_path / "out")
    [stored] = pq.read_table(tmp_path / "out/meta/robotrove/episodes.parquet")["content_digest"].to_pylist()
    reader = load_pipeline(pipeline).reader
    assert reader is not None
    [row] = Manifest.read(tmp_path / "out.run/manifest.parquet").rows
    assert reader.content_digests([row]) == {0: stored}
    assert stored == digest_of(path)


@pytest.mark.parametrize("name", ["raw", "tiles", "vlen"])
def test_of_episodes_end_to_end_only_the_own_rows_count(tmp_path: Path, name: str) -> None:
    """Rows 3 to 8 of two files are equal, those before differ."""

    def change(seed: int) -> Callable[[h5py.Group], None]:
        def change(group: h5py.Group) -> None:
            group["terminals"] = np.arange(ROWS) == 2
            group["q"][:3] = seed
            frame = group["front"][seed]
            group["front"][0] = frame

        return change

    found = []
    for seed in (1, 2):
        path = record(tmp_path / f"{seed}.h5", STORED[name], change(seed))
        specs = {key: ColumnSpec.model_validate(source) for key, source in COLUMNS.items()}
        layout = GenericLayout(columns=specs, episodes="/episode", split=["terminals"])
        with h5py.File(path) as file:
            episodes = [layout.open(file, key) for key in layout.list(file)]
            assert [ep.length for ep in episodes] == [3, 6]
            before = [ep.content_digest() for ep in episodes]
            for ep in episodes:
                assert sum(map(len, ep.frames("observation.images.front"))) == ep.length
            assert [ep.content_digest() for ep in episodes] == before
            found.append(before)
    assert found[0][1] == found[1][1]
    assert found[0][0] != found[1][0]
