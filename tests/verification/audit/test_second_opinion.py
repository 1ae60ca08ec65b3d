from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.media.image.images import encode_png
from robotrove.verification.audit.hdf5_recording import HDF5Recording
from robotrove.verification.audit.second_opinion import CastLoss, SecondOpinion

T = 8
Q = np.arange(2 * T, dtype="f4").reshape(T, 2)
FRAMES = np.stack(list(pictures(T, 48, 64, camera=0)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording with an action, a state and a camera."""
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("data/demo_0")
        group["actions"], group["obs/q"], group["obs/front"] = Q, Q + 100, FRAMES
    return tmp_path / "a.hdf5"


@contextmanager
def opinion(
    path: Path, columns: dict[str, Any], unused: list[str] | None = None, key: str = "data/demo_0", **span: int
) -> Iterator[SecondOpinion]:
    mapping = json.dumps({"columns": columns, "unused": unused or []})
    with HDF5Recording(path) as recording:
        yield SecondOpinion(recording, key, mapping, span.get("start", 0), span.get("length", T))


ALL = {
    "action": {"from": "actions"},
    "observation.state": {"from": "/data/demo_0/obs/q"},
    "front": {"from": "obs/front"},
}


def problems(path: Path, columns: dict[str, Any] = ALL, **more: Any) -> list[tuple[str, str]]:
    with opinion(path, columns, **{"unused": ["obs/q"], **more}) as second:
        return list(second.problems())


def test_a_mapping_that_has_every_dataset(path: Path) -> None:
    assert problems(path) == []


def test_an_episode_with_a_name_like_that_of_some_rows(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["data/demo_0[0:3]/actions"] = Q
    with opinion(path, {"action": {"from": "actions"}}, key="data/demo_0[0:3]") as second:
        assert list(second.problems()) == []
        assert np.array_equal(second.recorded("action")[0], Q)


def test_a_dataset_that_the_mapping_has_not(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["data/demo_0/obs/wrist"] = FRAMES
        file["store/top"] = FRAMES
        file["data/demo_0/obs/top"] = h5py.SoftLink("/store/top")
        with h5py.File(path.with_name("b.hdf5"), "w") as other:
            other["cams/side"] = FRAMES
        file["data/demo_0/more"] = h5py.ExternalLink("b.hdf5", "/cams")
        file["data/demo_0/obs/left"] = h5py.ExternalLink("gone.hdf5", "/x")
        file["data/demo_0/obs/again"] = file["data/demo_0/obs/front"]
    end = "that the manifest has neither as a column nor as unused: the layout lost it"
    gone = f"a.hdf5:/data/demo_0/obs/left leads to {path.with_name('gone.hdf5')}, which is missing"
    assert sorted(problems(path)) == [
        ("", f"more/side is a dataset {end}"),
        ("", f"obs/again is a dataset {end}"),
        ("", f"obs/left is a link to nothing ({gone}) {end}"),
        ("", f"obs/top is a dataset {end}"),
        ("", f"obs/wrist is a dataset {end}"),
    ]
    assert problems(path, unused=["obs/q", "more/side", "obs/again", "obs/left", "obs/top", "obs/wrist"]) == []


def test_a_mapped_dataset_that_is_missing(path: Path) -> None:
    columns = {**ALL, "wrist": {"from": "obs/wrist"}, "folder": {"from": "obs"}}
    assert problems(path, columns) == [
        ("wrist", "a.hdf5:/data/demo_0/obs/wrist leads to nothing"),
        ("folder", "a.hdf5:/data/demo_0/obs is a group instead of a dataset"),
    ]


def test_rows_that_are_too_few_or_too_many(path: Path) -> None:
    assert problems(path, length=T + 1)[0] == ("action", "a.hdf5:/data/demo_0/actions has 8 rows, row 8 is wanted")
    assert (
        problems(path, length=T - 2)[0][1] == "a.hdf5:/data/demo_0/actions has 2 rows after the last one of the episode"
    )
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["num_samples"] = T - 2
    assert problems(path, length=T - 2) == []  # the recorder says so
    assert len(problems(path, length=T - 1)) == 3


@pytest.mark.parametrize("count", [T - 2.0, np.float32(T - 2), np.array([[T - 2.0]]), np.uint8(T - 2)])
def test_a_count_of_rows_in_any_number(path: Path, count: Any) -> None:
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["num_samples"] = count
    assert problems(path, length=T - 2) == []


@pytest.mark.parametrize("rows", [[None, -1], [0, 7], [0, -1], [None, 7]], ids=str)
def test_rows_of_the_mapping_come_first(path: Path, rows: list) -> None:
    cut = {key: spec | {"rows": rows} for key, spec in ALL.items()}
    with opinion(path, cut, ["obs/q"], length=T - 1) as second:
        assert list(second.problems()) == []
        assert np.array_equal(second.recorded("action")[0], Q[:7])
        assert np.array_equal(next(second.pictures("front", 6, 7)).pixels, FRAMES[6])
    shifted = {"action": {"from": "actions", "rows": [2, None]}, "front": {"from": "obs/front", "rows": [-6, None]}}
    with opinion(path, shifted, ["obs/q"], length=T - 2) as second:
        assert list(second.problems()) == []
        assert np.array_equal(second.recorded("action")[0], Q[2:])
        assert np.array_equal(next(second.pictures("front", 0, 1)).pixels, FRAMES[2])


def test_an_episode_of_a_flat_file(path: Path) -> None:
    with opinion(path, ALL, ["obs/q"], key="data/demo_0[3:6]", start=3, length=3) as second:
        assert list(second.problems()) == []
        assert np.array_equal(second.recorded("action")[0], Q[3:6])
        frames = [picture.pixels for picture in second.pictures("front", 1, 3)]
        assert np.array_equal(frames, FRAMES[4:6])


def test_rows_without_data_behind_them(path: Path) -> None:
    with h5py.File(path, "a") as file:
        group = file["data/demo_0"]
        del group["actions"], group["obs/front"]
        group.create_dataset("actions", (T, 2), "f4", chunks=(2, 2))[:4] = 1
        layout = h5py.VirtualLayout((T, 48, 64, 3), "u1")
        layout[:] = h5py.VirtualSource("gone.hdf5", "front", shape=FRAMES.shape)
        group.create_virtual_dataset("obs/front", layout)
        group.create_dataset("force", (T,), "f4", external=[("force.raw", 0, 4 * T)])
    path.with_name("force.raw").write_bytes(b"\0" * 4 * 5)
    columns = {**ALL, "force": {"from": "force"}}
    found = dict(problems(path, columns))
    assert "4 rows between 4 and 7 have no stored chunks" in found["action"]
    assert f"takes rows 0..7 from gone.hdf5:front: gone.hdf5 leads to {path.with_name('gone.hdf5')}" in found["front"]
    assert found["force"].endswith(f"has no data for rows 5..7: {path.with_name('force.raw')} is too short")
    assert "observation.state" not in found
    assert (
        problems(
            path, {"action": {"from": "actions", "rows": [0, 4]}}, length=4, unused=["obs/q", "obs/front", "force"]
        )
        == []
    )


def test_numbers_in_their_own_dtype_and_cast(path: Path) -> None:
    rng = np.random.default_rng(5)
    values = {
        "f8": rng.normal(size=(T, 4)),
        "f2": rng.normal(size=T).astype("f2"),
        "i8": rng.integers(2**40, 2**41, (T, 3)),
        "u8": np.arange(T, dtype="u8")[:, None] + 2**62,
        "u1": np.arange(T, dtype="u1")[:, None] * 30,
        "bool": np.arange(T) % 3 == 0,
        "pose": rng.normal(size=(T, 3, 4)).astype("f4"),
    }
    with h5py.File(path, "a") as file:
        for name, rows in values.items():
            file[f"data/demo_0/{name}"] = rows
    columns = {
        **{name: {"from": name} for name in values},
        "kept": {"from": "f2", "dtype": "keep"},
        "wide": {"from": "f2", "dtype": "float64"},
        "part": {"from": "pose", "slice": [1, 3]},
        "mixed": {"from": [{"from": "f8", "slice": [2, 4]}, {"from": "f2"}, "i8"]},
        "whole": {"from": ["i8", {"from": "u8"}]},
    }
    with opinion(path, columns, ["actions", "obs/q", "obs/front"]) as second:
        assert list(second.problems()) == []
        found = {key: second.cast(key, second.recorded(key)) for key in columns}
        for name, rows in values.items():
            (held,) = second.recorded(name)
            assert held.dtype == rows.dtype
            assert np.array_equal(held, rows)
        assert [held.dtype.name for held in second.recorded("mixed")] == ["float64", "float16", "int64"]
    dtypes = {key: rows.dtype.name for key, rows in found.items()}
    assert dtypes == {
        **{"f8": "float32", "f2": "float32", "i8": "int64", "u8": "int64", "u1": "int64", "bool": "bool"},
        **{
            "pose": "float32",
            "kept": "float16",
            "wide": "float64",
            "part": "float32",
            "mixed": "float32",
            "whole": "int64",
        },
    }
    assert found["bool"].tolist() == values["bool"][:, None].tolist()
    assert np.array_equal(found["part"], values["pose"][..., 1:3])
    whole = np.concatenate([values["i8"], values["u8"].astype("i8")], axis=1)
    assert np.array_equal(found["whole"], whole)  # no digits are lost on the way
    assert np.array_equal(found["mixed"][:, :2], values["f8"][:, 2:].astype("f4"))


LOSSES = {
    "epoch": (1758531234.25 + np.arange(T) / 30, "row 0, entry 0: 1758531234.25 became 1758531200.0"),
    "metres": (np.stack([np.arange(T) / 10, 5_400_123.456 + np.arange(T) / 1000], 1), "row 0, entry 1: 5400123.456"),
    "counts": (2.0**24 + np.arange(T), "row 1, entry 0: 16777217.0 became 16777216.0"),
    "joints": (np.linspace(-3, 3, T), ""),
    "forces": (np.linspace(0, 3e6, T) + 1 / 3, ""),  # large, and so is their range
    "still": (np.full(T, 0.1), ""),
    "holes": (np.array([np.nan, 0.1, np.inf, 0.3, -np.inf, 0.2, 1.5, 2.5]), ""),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
def test_digits_that_float32_loses(path: Path, name: str, dtype: str | None) -> None:
    values, told = LOSSES[name]
    with h5py.File(path, "a") as file:
        file["data/demo_0/x"] = values
    with opinion(path, {"x": {"from": "x", **({"dtype": dtype} if dtype else {})}}, list("x")) as second:
        list(second.problems())
        recorded = second.recorded("x")
        loss, problem = second.loss("x", recorded, second.cast("x", recorded))
    if dtype == "float64":
        assert (loss, problem) == (CastLoss(), "")
        return
    finite = values[np.isfinite(values)]
    changed = np.abs(finite.astype("f4").astype("f8") - finite)
    assert loss == CastLoss(int(np.count_nonzero(changed)), float(changed.max()))
    assert loss.entries > 0
    assert (told in problem) if told and dtype is None else problem == ""


def test_texts(path: Path) -> None:
    texts = [f"row {row} ü" for row in range(T)]
    with h5py.File(path, "a") as file:
        file["data/demo_0/free"] = texts
        file["data/demo_0/fixed"] = np.array([text.encode() for text in texts], "S20")
    with opinion(path, {"a": {"from": "free"}, "b": {"from": "fixed", "rows": [1, None]}}, length=T - 1) as second:
        told = [feature for feature, _ in second.problems()]
        assert told == ["a", "", "", ""]  # one row more than the episode has; and three that the mapping lacks
        assert second.texts("b") == texts[1:]


def test_pictures_as_files_and_as_arrays(path: Path) -> None:
    with h5py.File(path, "a") as file:
        group = file["data/demo_0"]
        files = [encode_png(frame) for frame in FRAMES]
        rows = group.create_dataset("vlen", (T,), h5py.vlen_dtype(np.uint8))
        rows[:] = [np.frombuffer(content, np.uint8) for content in files]
        size = max(map(len, files)) + 5
        group["padded"] = np.stack([np.frombuffer(content.ljust(size, b"\0"), np.uint8) for content in files])
        group["opaque"] = np.array([np.void(content.ljust(size, b"\0")) for content in files])
        group["floats"] = (FRAMES / 255).astype("f4")
        group["bgr"] = FRAMES[..., ::-1]
        group["first"] = np.moveaxis(FRAMES, 3, 1)
        group["gone"] = np.zeros((T, 30), np.uint8)
    same = ("vlen", "padded", "opaque", "floats", "first")
    columns = {**{name: {"from": name} for name in same}, "bgr": {"from": "bgr", "color": "bgr", "flip": "rotate180"}}
    with opinion(path, {**columns, "gone": {"from": "gone"}}, list(ALL)) as second:
        list(second.problems())
        for name in same:
            assert np.array_equal([picture.pixels for picture in second.pictures(name, 2, 6)], FRAMES[2:6]), name
        turned = [picture.pixels for picture in second.pictures("bgr", 0, 2)]
        assert np.array_equal(turned, FRAMES[:2, ::-1, ::-1])
        with pytest.raises(Exception, match=r"a.hdf5:/data/demo_0/gone row 3.*Pillow cannot decode it"):
            next(second.pictures("gone", 3, 4))
