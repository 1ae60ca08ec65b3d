"""Values that fall together in float32 stop planning, unless the pipeline decides their dtype."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import UsageError
from robotrove.pipelines.plan import planner
from robotrove.pipelines.plan.planner import Plan, make_plan
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline
from robotrove.tests.support.places import SHARED_DATA, needs

T = 20
TIME = np.arange(T) / 30
ANGLES = np.random.default_rng(0).uniform(-3, 3, (T, 2))


def record(path: Path, **values: Any) -> Path:
    """Write an episode with actions that pass, and other rows."""
    with h5py.File(path, "w") as file:
        for name, rows in {"a": ANGLES, **values}.items():
            file[f"run/{name}"] = rows
    return path


def pipeline(folder: Path, columns: Mapping[str, Any], *files: Path, **more: Any) -> Path:
    source = {"columns": {"action": "a", **columns}, "options": {"episodes": "/run"}, "task": "t", "fps": 30}
    return write_pipeline(folder, files or [folder / "*.h5"], "generic", source=source | more.pop("source", {}), **more)


def planned(folder: Path, columns: Mapping[str, Any], *files: Path, **more: Any) -> Plan:
    return make_plan(load_pipeline(pipeline(folder, columns, *files, **more)))


def refused(folder: Path, columns: Mapping[str, Any], *files: Path, **more: Any) -> list[str]:
    """Return the lines of the error that name columns."""
    with pytest.raises(UsageError) as caught:
        planned(folder, columns, *files, **more)
    assert caught.value.where == "loses_precision"
    assert "dtype: float64" in caught.value.todo
    return [line.strip() for line in caught.value.found.splitlines()[1:]]


LOSING = {
    "epoch": 1758531234.25 + TIME,
    "constant": np.full(T, 1000.123),
    "big endian": (1758531234.25 + TIME).astype(">f8"),
    "latitude": 48.1 + TIME * 1e-6,
    "counts": 2.0**24 + np.arange(T),
    "millimetres of UTM": 5_400_123_456.7 + np.arange(T),
}


@pytest.mark.parametrize("name", LOSING)
def test_values_that_float32_cannot_hold(tmp_path: Path, name: str) -> None:
    values = LOSING[name]
    path = record(tmp_path / "a.h5", x=values)
    changes = np.abs(values - values.astype(np.float32))
    row = int(changes.argmax())
    assert refused(tmp_path, {"observation.state": "x"}) == [
        f"observation.state: /run/x row {row} of {path}, episode run has {float(values[row])!r}, "
        f"in float32 {float(np.float32(values[row]))!r}"
    ]


PASSING = {
    "angles": ANGLES,
    "percent": np.random.default_rng(1).uniform(-100, 100, (T, 3)),  # changes by 4e-6 at most, of a range of 200
    "constant": np.full((T, 2), 0.1),
    "exact": 2.0**30 + 2.0**10 * np.arange(T),
    "nan": np.where(np.arange(T)[:, None] == 3, np.nan, ANGLES),
    "infinite": np.where(np.arange(T)[:, None] == 3, np.inf, ANGLES),
    "only nan": np.full(T, np.nan),
    "overflow": np.where(np.arange(T)[:, None] == 3, 1e39, ANGLES),
    "float32": np.float32(1758531234.25) + np.arange(T, dtype=np.float32),
    "float16": np.arange(T, dtype=np.float16) / 3,
    "int64": 2**60 + np.arange(T),
    "small loss of a small range": 1.0 + np.arange(T) * 1e-9,  # 6e-8
}


@pytest.mark.parametrize("name", PASSING)
def test_smaller_losses_pass(tmp_path: Path, name: str) -> None:
    record(tmp_path / "a.h5", x=PASSING[name])
    assert [row.reason for row in planned(tmp_path, {"observation.state": "x"}).manifest.rows] == [""]


@pytest.mark.parametrize("dtype", ["float32", "float64", "keep"])
def test_a_decided_dtype_passes_and_is_not_read(tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = LOSING["epoch"]
    record(tmp_path / "a.h5", x=epoch)
    columns = {"observation.state": {"from": "x", "dtype": dtype}, "action": {"from": "a", "dtype": dtype}}
    monkeypatch.setattr(
        "robotrove.formats.hdf5.columns.NumericColumn._recorded", lambda *args: pytest.fail("rows were read")
    )
    planned(tmp_path, columns)
    monkeypatch.undo()
    run_here(pipeline(tmp_path, columns), tmp_path / "out")
    found = pq.read_table(tmp_path / "out/data")["observation.state"].to_pylist()
    assert np.ravel(found).tolist() == epoch.astype("f4" if dtype == "float32" else "f8").tolist()


def test_of_sources_side_by_side_each_counts_by_its_dtype(tmp_path: Path) -> None:
    wide = 2**31 - np.arange(2 * T).reshape(T, 2)
    record(tmp_path / "a.h5", q=ANGLES.astype("f4"), short=wide.astype("i2"), wide=wide.astype("u4"), slow=ANGLES)
    planned(tmp_path, {"observation.state": ["q", "short", "slow"]})
    planned(tmp_path, {"observation.state": ["short", "wide"]})  # whole numbers stay int64
    [line] = refused(tmp_path, {"observation.state": ["q", {"from": "wide", "slice": [1, 2]}, "slow"]})
    assert line.startswith("observation.state, entry wide_1: /run/wide row ")
    row = int(line.split(" row ")[1].split()[0])
    assert line.endswith(f" has {wide[row, 1]}, in float32 {float(np.float32(wide[row, 1]))!r}")
    names = {"from": ["q", "wide"], "names": ["a", "b", "left count", "right count"]}
    [line] = refused(tmp_path, {"observation.state": names})
    assert line.startswith(("observation.state, entry left count: ", "observation.state, entry right count: "))


def test_all_columns_are_named_each_with_its_worst_example(tmp_path: Path) -> None:
    metres = np.stack([ANGLES[:, 0], 5_400_123.456 + np.arange(T) / 1000], 1)
    record(tmp_path / "a.h5", t=TIME + 2.0**23 + 0.1, utm=metres[:, [0, 0]])
    record(tmp_path / "b.h5", t=TIME + 2.0**29 + 0.1, utm=metres)
    record(tmp_path / "c.h5", t=TIME, utm=metres[:, [0, 0]])
    found = refused(tmp_path, {"observation.time": "t", "observation.state": "utm"})
    assert found[0].startswith("observation.time: /run/t row ")
    assert f"{tmp_path}/b.h5, episode run has 536870912" in found[0]
    assert found[1].startswith("observation.state, entry utm_1: /run/utm row ")
    assert len(found) == 2


def test_entries_of_matrices_have_numbers_and_rows_are_those_of_the_dataset(tmp_path: Path) -> None:
    poses = np.zeros((T + 1, 2, 3))
    poses[:, 1, 0] = 123_456.75  # exact
    poses[7, 1, 0] += 1e-3
    path = record(tmp_path / "a.h5", poses=poses)
    assert refused(tmp_path, {"observation.pose": {"from": "poses", "rows": [1, None]}}) == [
        f"observation.pose, entry 3: /run/poses row 7 of {path}, episode run has 123456.751, in float32 123456.75"
    ]


MIRRORED = "robotrove.tests.support.blocks.outside:Mirrored"


@pytest.mark.parametrize("more", [[], [MIRRORED], ["robotrove.tests.support.blocks.outside:Halved"]], ids=len)
def test_rows_after_the_steps_count(tmp_path: Path, more: list[Any]) -> None:
    exact = np.full(T, 1000.125)
    hidden, shown = exact.copy(), exact.copy()
    hidden[1] = shown[11] = 1000.1234567
    trimmer: list[Any] = [{"frame_trimmer": {"head": 2}}]
    path = record(tmp_path / "a.h5", x=hidden)
    assert len(refused(tmp_path, {"observation.state": "x"}, steps=more)) == 1
    planned(tmp_path, {"observation.state": "x"}, steps=trimmer + more)
    record(path, x=shown)
    assert refused(tmp_path, {"observation.state": "x"}, steps=trimmer + more) == [
        f"observation.state: /run/x row 11 of {path}, episode run has 1000.1234567, "
        f"in float32 {float(np.float32(1000.1234567))!r}"
    ]


def test_columns_that_a_step_removes_do_not_count(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", x=LOSING["epoch"])
    columns = {"observation.time": "x"}
    steps = ["robotrove.tests.support.blocks.outside:WithoutTime"]
    assert list(planned(tmp_path, columns, steps=steps).features) == ["action"]
    assert len(refused(tmp_path, columns)) == 1


@pytest.mark.parametrize("reason", ["not_successful", "feature_mismatch", "duplicate_episode"])
def test_episodes_that_are_rejected_do_not_count(tmp_path: Path, reason: str) -> None:
    losing = LOSING["epoch"].repeat(2).reshape(T, 2)
    files = [record(tmp_path / name, x=x) for name, x in (("a.h5", ANGLES), ("b.h5", ANGLES / 2), ("c.h5", losing))]
    if reason == "duplicate_episode":
        shutil.copy(files[0], files[2])
    for path in files:
        with h5py.File(path, "r+") as file:
            file["run"].attrs["success"] = reason != "not_successful" or path != files[2]
            file["run/y"] = ANGLES[:, : 1 if reason == "feature_mismatch" and path == files[2] else 2]
    source = {"options": {"episodes": "/run", "success": "attr:success"}}
    columns = {"observation.state": "x", "observation.y": "y"}
    plan = planned(tmp_path, columns, *files, source=source, steps=["success_filter"])
    assert [row.reason for row in plan.manifest.rows] == ["", "", reason]


def test_an_episode_that_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", x=ANGLES)
    with h5py.File(record(tmp_path / "b.h5"), "r+") as file:
        rows = file["run"].create_dataset("x", data=ANGLES, chunks=(T, 2), fletcher32=True)
        place = rows.id.get_chunk_info(0).byte_offset
    with open(tmp_path / "b.h5", "r+b") as stream:
        stream.seek(place + 48)
        stream.write(b"\x01\x02")
    rows = planned(tmp_path, {"observation.state": "x"}).manifest.rows
    assert [row.reason for row in rows] == ["", "unreadable_data"]
    assert "/run/x" in rows[1].detail


def test_commands_exit_with_2_and_write_nothing(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", x=LOSING["epoch"])
    path = pipeline(tmp_path, {"observation.state": "x"})
    before = sorted(tmp_path.iterdir())
    for command in (["plan", path], ["plan", path, "--json"], ["run", path, "--output", tmp_path / "out"]):
        done = run_robotrove(*command)
        assert done.returncode == 2
        for text in ("loses_precision", "observation.state", "/run/x", "dtype: float64", "dtype: float32"):
            assert text in done.stderr
        assert sorted(tmp_path.iterdir()) == before


def test_a_layouts_own_columns(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("data/demo_0")
        group.create_group("initial_state")
        group["actions"], group["obs/joint_pos"] = ANGLES, LOSING["epoch"][:, None]
    with pytest.raises(UsageError, match=r"observation\.state, entry .*/data/demo_0/obs/joint_pos row"):
        make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.h5"], source={"task": "t", "fps": 30})))


def test_a_note_says_how_long_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "a.h5", x=ANGLES)
    assert not [note for note in planned(tmp_path, {"observation.state": "x"}).notes if "float32" in note]
    clock = iter(np.arange(0, 99, 1.5).tolist())
    monkeypatch.setattr(planner.time, "perf_counter", lambda: next(clock))
    [note] = [note for note in planned(tmp_path, {"observation.state": "x"}).notes if "float32" in note]
    assert note == "comparing values with float32 took 1.5 s; a `dtype:` of such columns saves that"


SIMULATED = [
    SHARED_DATA / "sims" / name
    for name in (
        "robosuite/demo.hdf5",
        "robosuite/image_depth.hdf5",
        "minari/door-v0/data/main_data.hdf5",
        "minari/fetchpix-v0/data/main_data.hdf5",
    )
]


@pytest.mark.parametrize("path", [pytest.param(path, marks=needs(path), id=path.parent.name) for path in SIMULATED])
def test_no_float64_of_real_simulators_needs_a_dtype(tmp_path: Path, path: Path) -> None:
    with h5py.File(path) as file:
        top = file.get("data", file)
        [first, *_] = top.values()
        found: dict[int, list[str]] = {}
        first.visititems(
            lambda name, item: (
                found.setdefault(len(item), []).append(name)
                if isinstance(item, h5py.Dataset) and item.dtype == np.float64 and item.shape and item.ndim <= 3
                else None
            )
        )
        episodes = f"{top.name.rstrip('/')}/*"
    assert found
    for names in found.values():
        columns = {f"c{number}": name for number, name in enumerate(names)}
        source = {"columns": columns, "options": {"episodes": episodes}, "task": "t", "fps": 30}
        plan = make_plan(load_pipeline(write_pipeline(tmp_path, [path], "generic", source=source)))
        assert [row.length for row in plan.manifest.kept]
        assert {feature.dtype for feature in plan.features.values()} == {"float32"}


def test_of_episodes_end_to_end_each_counts_by_its_own_rows(tmp_path: Path) -> None:
    values = np.full(T, 1000.125)
    values[15] = 1000.1234567
    path = record(tmp_path / "a.h5", x=values, terminals=np.isin(np.arange(T), [4, 11]))
    options = {"options": {"episodes": "/run", "split": ["terminals"]}}
    assert refused(tmp_path, {"observation.state": "x"}, source=options) == [
        f"observation.state: /run/x row 15 of {path}, episode run[12:20] has 1000.1234567, "
        f"in float32 {float(np.float32(1000.1234567))!r}"
    ]


def test_rows_of_array_types(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5")
    rows = 1758531234.25 + np.arange(2 * T).reshape(T, 2) / 3
    with h5py.File(path, "r+") as file:
        file["run"].create_dataset("x", (T,), np.dtype(("f8", (2,))))[...] = rows
    [line] = refused(tmp_path, {"observation.state": "x"})
    row, entry = np.unravel_index(np.abs(rows - rows.astype("f4")).argmax(), rows.shape)
    assert line.startswith(f"observation.state, entry x_{entry}: /run/x row {row} of {path}, episode run has ")
