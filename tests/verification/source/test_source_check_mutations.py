"""Seeded faults of the reader, in the run and in the check alike: the second opinion must tell of each."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from robotrove.core.columns import ConcatColumn
from robotrove.formats.hdf5 import columns, layout, mapping
from robotrove.formats.hdf5.columns import EncodedFrameColumn, FrameColumn, NumericColumn, RawFrameColumn, StringColumn
from robotrove.formats.hdf5.layouts.isaaclab import IsaacLabLayout
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline
from robotrove.verification.source.source_check import SourceReport, check_source

T, SIDE = 9, 48
RNG = np.random.default_rng(15)
CAMERA = "observation.images."
COLUMNS: dict[str, Any] = {
    "action": "actions",
    "observation.state": [{"from": "obs/q", "slice": [1, 3]}, "obs/grip"],
    "observation.count": {"from": "obs/count", "dtype": "keep"},
    "observation.force": "obs/force",
    "observation.next": {"from": "obs/next", "rows": [1, None]},
    "observation.note": "note",
    f"{CAMERA}front": {"from": "obs/front", "kind": "image"},
    f"{CAMERA}wrist": {"from": "obs/wrist", "kind": "image"},
    f"{CAMERA}bgr": {"from": "obs/bgr", "kind": "image", "color": "bgr"},
    f"{CAMERA}low": {"from": "obs/low", "kind": "image", "flip": "vertical"},
    f"{CAMERA}alpha": {"from": "obs/alpha", "kind": "image", "assume": "colour"},
    f"{CAMERA}grey": {"from": "obs/grey", "kind": "image"},
    f"{CAMERA}norm": {"from": "obs/norm", "kind": "image"},
}
ALL = set(COLUMNS)


def frames(episode: int, camera: int) -> np.ndarray:
    return np.stack(list(pictures(T, SIDE, SIDE, camera=2 * camera + episode)))


def jpeg(frame: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=92)
    return np.frombuffer(stream.getvalue(), np.uint8)


def write_recording(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for episode in range(2):
            group = file.create_group(f"data/demo_{episode}")
            group.attrs["success"] = True
            group.create_group("initial_state")
            group["actions"] = RNG.normal(size=(T, 3)).astype("f4")
            group["obs/q"] = RNG.normal(size=(T, 4))
            group["obs/grip"] = RNG.normal(size=T)
            group["obs/count"] = RNG.integers(2**33, 2**40, (T, 2))
            group["obs/force"] = RNG.integers(300, 60_000, (T, 2)).astype("u2")
            group["obs/next"] = RNG.normal(size=(T + 1, 2)).astype("f4")
            group["note"] = [f"{episode}: row {row}" for row in range(T)]
            for camera, name in enumerate(("front", "bgr", "low")):
                group.create_dataset(
                    f"obs/{name}", data=frames(episode, camera), chunks=(4, SIDE, 16, 3), compression=4
                )
            opaque = np.full((T, SIDE, SIDE, 1), 255, np.uint8)
            group["obs/alpha"] = np.concatenate([frames(episode, 3), opaque], axis=3)
            group["obs/grey"] = frames(episode, 4)[..., :1]
            group["obs/norm"] = (frames(episode, 5) / 255 * 0.9).astype("f4")
            rows = group.create_dataset("obs/wrist", (T,), h5py.vlen_dtype(np.uint8))
            for row, frame in enumerate(frames(episode, 6)):
                rows[row] = jpeg(frame)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("recording") / "a.hdf5")


def convert(folder: Path, recording: Path, columns: dict[str, Any] | None = COLUMNS) -> SourceReport:
    """Convert, check against the recording, and return the report."""
    source = {"task": "reach", "fps": 30, **({"columns": columns} if columns else {})}
    pipeline = write_pipeline(folder, [recording], source=source)
    report = run_here(pipeline, folder / "dataset")
    assert report.kept == 2
    return check_source(folder / "dataset", finished_run(folder / "dataset.run"))


def test_without_a_fault_nothing_is_told(recording: Path, tmp_path: Path) -> None:
    report = convert(tmp_path, recording)
    assert report.problems == ()
    # Two episodes of 14 datasets; texts and JPEGs of variable length are for h5py.
    assert (report.audited.episodes, report.audited.pyfive, report.audited.h5py) == (2, 2 * 12, 2 * 2)
    losses = report.audited.losses
    assert list(losses) == ["observation.state"]
    assert losses["observation.state"].entries == 2 * T * 3  # no float64 of the random ones is a float32
    assert 1e-9 < losses["observation.state"].largest < 2**-23


Fault = Callable[[pytest.MonkeyPatch], None]


def numbers(leaf: str, change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Change the rows of a dataset as they are read."""

    def put(patch: pytest.MonkeyPatch) -> None:
        read = NumericColumn.batches

        def batches(self: NumericColumn, start: int, stop: int) -> Iterator[np.ndarray]:
            for rows in read(self, start, stop):
                yield change(rows.copy()) if self._dataset.name.endswith(f"/{leaf}") else rows

        patch.setattr(NumericColumn, "batches", batches)

    return put


def shifted(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[1:], rows[-1:]])


def stuck(rows: np.ndarray) -> np.ndarray:
    rows[5] = rows[4]
    return rows


def zeros(rows: np.ndarray) -> np.ndarray:
    return np.zeros_like(rows)


def one_zero(rows: np.ndarray) -> np.ndarray:
    rows[-1, 0] = 0
    return rows


def reordered(rows: np.ndarray) -> np.ndarray:
    return rows[:, ::-1]


def through(dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rows: rows.astype(dtype).astype(rows.dtype)


def last_row_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(IsaacLabLayout, "rows", lambda self, group: len(group["actions"]) - 1)


def other_path(changed: dict[str, str]) -> Fault:
    """Open a dataset instead of another."""

    def put(patch: pytest.MonkeyPatch) -> None:
        find = mapping.find_dataset
        patch.setattr(mapping, "find_dataset", lambda group, path: find(group, changed.get(path, path)))

    return put


def swapped_episodes(patch: pytest.MonkeyPatch) -> None:
    group = layout.Layout.group
    other = {"data/demo_0": "data/demo_1", "data/demo_1": "data/demo_0"}
    patch.setattr(layout.Layout, "group", lambda self, file, key, *more: group(self, file, other[key], *more))


def half_of_another_episode(patch: pytest.MonkeyPatch) -> None:
    read = NumericColumn.batches

    def batches(self: NumericColumn, start: int, stop: int) -> Iterator[np.ndarray]:
        for rows in read(self, start, stop):
            rows = rows.copy()
            if self._dataset.name == "/data/demo_1/actions":
                rows[T // 2 :] = self._dataset.file["data/demo_0/actions"][T // 2 :]
            yield rows

    patch.setattr(NumericColumn, "batches", batches)


def rows_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mapping, "_cut", lambda column, part: column.take(np.arange(T)))


def other_slice(first: int, last: int) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        build = mapping._numbers
        patch.setattr(
            mapping,
            "_numbers",
            lambda source, entries, *more: build(source, entries and (first, last), *more),
        )

    return put


def parts_in_another_order(patch: pytest.MonkeyPatch) -> None:
    build = ConcatColumn.__init__
    patch.setattr(ConcatColumn, "__init__", lambda self, parts, feature: build(self, parts[::-1], feature))


def camera(column: type[FrameColumn], leaf: str, change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Change the frames of a dataset after colour order and orientation."""

    def put(patch: pytest.MonkeyPatch) -> None:
        read = FrameColumn.batches

        def batches(self: FrameColumn, start: int, stop: int) -> Iterator[np.ndarray]:
            for rows in read(self, start, stop):
                yield np.ascontiguousarray(change(rows)) if self.rows.path.endswith(f"/{leaf}") else rows

        patch.setattr(column, "batches", batches)

    return put


def settings_ignored(**fixed: str) -> Fault:
    """Build cameras with a colour order or an orientation of their own."""

    def put(patch: pytest.MonkeyPatch) -> None:
        build = mapping._frames
        patch.setattr(
            mapping,
            "_frames",
            lambda sources, spec, key, kind: build(sources, spec.model_copy(update=fixed), key, kind),
        )

    return put


def frames_off_by_one(column: type[FrameColumn], leaf: str) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        read = column._stored

        def stored(self: Any, start: int, stop: int) -> Iterator[np.ndarray]:
            for row in range(start, stop):
                row = max(0, row - 1) if self.rows.path.endswith(f"/{leaf}") else row
                yield from read(self, row, row + 1)

        patch.setattr(column, "_stored", stored)

    return put


def floor_of_floats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RawFrameColumn, "_to_uint8", lambda self, frames, first: (frames * 255).astype(np.uint8))


def alpha_for_red(patch: pytest.MonkeyPatch) -> None:
    read = columns.ChunkedRows.batches

    def batches(self: Any, start: int, stop: int) -> Iterator[np.ndarray]:
        for rows in read(self, start, stop):
            yield rows[..., ::-1] if rows.shape[-1] == 4 else rows

    patch.setattr(columns.ChunkedRows, "batches", batches)


def texts_shifted(patch: pytest.MonkeyPatch) -> None:
    read = StringColumn.batches
    patch.setattr(
        StringColumn, "batches", lambda self, start, stop: (np.roll(rows, 1) for rows in read(self, start, stop))
    )


def only_red(frames: np.ndarray) -> np.ndarray:
    return frames * np.array([1, 0, 0], np.uint8)


def swapped(frames: np.ndarray) -> np.ndarray:
    return frames[..., ::-1]


def upside_down(frames: np.ndarray) -> np.ndarray:
    return frames[:, ::-1]


FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "off by one row": (numbers("actions", shifted), {"action"}),
    "last row lost": (last_row_lost, ALL),
    "swapped columns": (other_path({"obs/count": "obs/force", "obs/force": "obs/count"}),
                        {"observation.count", "observation.force"}),
    "swapped episodes": (swapped_episodes, ALL),
    "wrong slice": (other_slice(0, 2), {"observation.state"}),
    "slice off by one": (other_slice(1, 4), {"observation.state"}),
    "rows ignored": (rows_ignored, {"observation.next"}),
    "parts in another order": (parts_in_another_order, {"observation.state"}),
    "entries in another order": (numbers("actions", reordered), {"action"}),
    "zeros for a column": (numbers("actions", zeros), {"action"}),
    "a zero in the last row": (numbers("grip", one_zero), {"observation.state"}),
    "a row twice": (numbers("q", stuck), {"observation.state"}),
    "rows of another episode": (half_of_another_episode, {"action"}),
    "float through float16": (numbers("actions", through("f2")), {"action"}),
    "integers through int32": (numbers("count", through("i4")), {"observation.count"}),
    "integers through uint8": (numbers("force", through("u1")), {"observation.force"}),
    "float64 through float32": (numbers("q", through("f4")), {"observation.state"}),
    "BGR taken for RGB": (settings_ignored(color="rgb"), {f"{CAMERA}bgr"}),
    "flip missing": (settings_ignored(flip="none"), {f"{CAMERA}low"}),
    "flip extra": (camera(RawFrameColumn, "front", upside_down), {f"{CAMERA}front"}),
    "JPEG upside down": (camera(EncodedFrameColumn, "wrist", upside_down), {f"{CAMERA}wrist"}),
    "JPEG with colours swapped": (camera(EncodedFrameColumn, "wrist", swapped), {f"{CAMERA}wrist"}),
    "frames off by one": (frames_off_by_one(RawFrameColumn, "front"), {f"{CAMERA}front"}),
    "JPEGs off by one": (frames_off_by_one(EncodedFrameColumn, "wrist"), {f"{CAMERA}wrist"}),
    "a camera under two names": (other_path({"obs/low": "obs/front"}), {f"{CAMERA}low"}),
    "alpha for red": (alpha_for_red, {f"{CAMERA}alpha"}),
    "grey only in red": (camera(RawFrameColumn, "grey", only_red), {f"{CAMERA}grey"}),
    "floats rounded down": (floor_of_floats, {f"{CAMERA}norm"}),
    "texts of other rows": (texts_shifted, {"observation.note"}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "features"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_of_the_reader_is_told(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, features: set[str]
) -> None:
    fault(monkeypatch)
    report = convert(tmp_path, recording)
    # By the second opinion alone: reader and check have the same fault, so that the dataset equals what they read.
    assert all(problem.message.startswith("second opinion: ") for problem in report.problems)
    assert {problem.feature for problem in report.problems} == features


def test_a_camera_that_the_layout_lost(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_front(walk: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        return lambda *args: {path: item for path, item in walk(*args).items() if not path.endswith("front")}

    for name in {"datasets", "searched_datasets", "objects"} & vars(layout).keys():  # all that lists them
        monkeypatch.setattr(layout, name, without_front(getattr(layout, name)))
    report = convert(tmp_path, recording, columns={"action": "actions", "observation.state": "obs/q"})
    assert [(problem.episode, problem.feature) for problem in report.problems] == [(0, ""), (1, "")]
    assert all("obs/front is a dataset that the manifest has neither" in one.message for one in report.problems)
