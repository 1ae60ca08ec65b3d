"""`inspect --rerun`: what is in the file, read with Rerun's own reader."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robotrove.formats.hdf5.samples import write_sample

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
FIRST = 5  # LeIsaac's converter drops the rows before


@pytest.fixture(autouse=True)
def _rerun() -> None:
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install -e '.[view]'")


@pytest.fixture
def cubes(robotrove: Callable, tmp_path: Path) -> Path:
    """A dataset of the episodes with success, of each 35 frames of the 40 rows in its recording."""
    write_sample("leisaac", tmp_path / "recorded", episodes=4, frames=40)
    found = robotrove(
        "run", "leisaac_so101", f"source.files=[{tmp_path}/recorded]", "--output", tmp_path / "cubes", "--workers", 1
    )
    assert found.code == 0, found.err
    return tmp_path / "cubes"


def entities(path: Path, store: str = "recordings") -> dict[str, dict[str, list[Any]]]:
    """Return entity to its columns: values of all its rows."""
    import rerun as rr

    reader = rr.chunk.RrdReader(path)
    [entry] = getattr(reader, store)()
    found: dict[str, dict[str, list[Any]]] = {}
    for chunk in reader.stream(store=entry):
        columns = found.setdefault(str(chunk.entity_path), {})
        batch = chunk.to_record_batch()
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            in_ns = pa.types.is_temporal(values.type)
            columns.setdefault(name, []).extend((values.cast(pa.int64()) if in_ns else values).to_pylist())
    return found


def curves(found: dict[str, dict[str, list[Any]]], entity: str) -> np.ndarray:
    return np.array([value for [value] in found[entity]["Scalars:scalars"]])


def pictures(found: dict[str, dict[str, list[Any]]], entity: str) -> list[np.ndarray]:
    """Return the pictures in the order of their frames."""
    columns = found[entity]
    assert {media for [media] in columns["EncodedImage:media_type"]} == {"image/jpeg"}
    rows = sorted(zip(columns["frame"], columns["EncodedImage:blob"], strict=True), key=lambda row: row[0])
    return [np.asarray(Image.open(BytesIO(bytes(blob)))).astype(int) for _, [blob] in rows]


def test_recording_and_dataset_are_on_one_time_line(robotrove: Callable, cubes: Path, tmp_path: Path) -> None:
    done = robotrove("inspect", cubes, 1, "--rerun", tmp_path / "one.rrd")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"; to open it: rerun {tmp_path}/one.rrd\n")
    found = entities(tmp_path / "one.rrd")

    [table] = [pq.read_table(path) for path in cubes.glob("data/*/*.parquet")]
    rows = table.filter(np.asarray(table["episode_index"]) == 1)
    with h5py.File(next((cubes.parent / "recorded").glob("*.hdf5"))) as file:
        demo = [demo for demo in file["data"].values() if demo.attrs.get("success")][1]
        actions, states = demo["actions"][FIRST:], demo["obs/joint_pos"][FIRST:]
        front = demo["obs/front"][FIRST:].astype(int)
    assert len(rows) == len(actions) == 35
    for joint, name in enumerate(JOINTS):
        for key, recorded in (("action", actions), ("observation.state", states)):
            stored = np.stack(rows[key].to_numpy())[:, joint]
            np.testing.assert_array_equal(curves(found, f"/dataset/{key}/{name}.pos"), stored.astype(float))
            raw = curves(found, f"/source/{key}/{name}.pos")  # in rad, the dataset is in motor units
            np.testing.assert_array_equal(raw, recorded[:, joint].astype(float))
            assert not np.array_equal(raw, stored)
    for entity, columns in found.items():
        if entity.startswith(("/source/", "/dataset/")):
            assert sorted(columns["frame"]) == list(range(35)), entity
            np.testing.assert_allclose(np.sort(columns["time"]) / 1e9, np.arange(35) / 30, atol=1e-6)

    [video] = cubes.glob("videos/observation.images.front/*/*.mp4")
    with av.open(str(video)) as container:
        decoded = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)][35:70]
    for entity, expected in (("source", front), ("dataset", decoded)):
        shown = pictures(found, f"/{entity}/observation.images.front")
        assert len(shown) == 35
        distance = np.array([[np.abs(one - other).mean() for other in expected] for one in shown[:6]])
        assert distance.argmin(1).tolist() == list(range(6))  # of this frame, not of its neighbour
        assert distance.min(1).max() < 6  # JPEG of quality 95, with half the colours


def test_the_views_are_beside_each_other(robotrove: Callable, cubes: Path, tmp_path: Path) -> None:
    robotrove("inspect", cubes, 0, "--rerun", tmp_path / "one.rrd")
    views = entities(tmp_path / "one.rrd", "blueprints")
    origins = [value for columns in views.values() for [value] in columns.get("ViewBlueprint:space_origin", [])]
    keys = ("action", "observation.images.front", "observation.images.wrist", "observation.state")
    assert sorted(origins) == [f"/{side}/{key}" for side in ("dataset", "source") for key in keys]


def test_without_the_recording_the_dataset_is_shown_with_a_note(
    robotrove: Callable, cubes: Path, tmp_path: Path
) -> None:
    [recording] = (cubes.parent / "recorded").glob("*.hdf5")
    recording.rename(tmp_path / "elsewhere.hdf5")
    done = robotrove("inspect", cubes, 0, "--rerun", tmp_path / "one.rrd")
    assert done.code == 0
    assert done.err.startswith(f"note: the recording is not shown: source_changed: {recording.name} is missing now: ")
    found = entities(tmp_path / "one.rrd")
    assert {entity.split("/")[1] for entity in found} == {"__properties", "dataset"}
    (cubes.parent / "cubes.run").rename(tmp_path / "elsewhere.run")
    done = robotrove("inspect", cubes, 0, "--rerun", tmp_path / "two.rrd")
    assert done.code == 0
    assert "no run directory that can be read names its file" in done.err


def test_frames_that_cannot_be_read_are_named_and_the_rest_is_shown(
    robotrove: Callable, cubes: Path, tmp_path: Path
) -> None:
    [video] = cubes.glob("videos/observation.images.front/*/*.mp4")
    video.write_bytes(b"no video")
    done = robotrove("inspect", cubes, 0, "--rerun", tmp_path / "one.rrd")
    assert done.code == 1
    assert done.err.startswith(f"DAMAGED: {video}")
    found = entities(tmp_path / "one.rrd")
    assert "/dataset/observation.images.front" not in found
    assert len(pictures(found, "/dataset/observation.images.wrist")) == 35
    assert len(pictures(found, "/source/observation.images.front")) == 35


def test_a_file_that_exists_is_kept(robotrove: Callable, cubes: Path, tmp_path: Path) -> None:
    (tmp_path / "one.rrd").write_text("mine")
    done = robotrove("inspect", cubes, 0, "--rerun", tmp_path / "one.rrd")
    assert (done.code, (tmp_path / "one.rrd").read_text()) == (2, "mine")
    assert done.err.startswith(f"error: {tmp_path}/one.rrd: already exists")


def test_a_full_disk_is_an_error_and_leaves_no_file(cubes: Path, tmp_path: Path) -> None:
    program = (
        "import robotrove.cli.recordings.viewer as viewer; viewer._TIMEOUT = 3\n"
        "from robotrove.cli import program; program()"
    )
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, "inspect", cubes, "0", "--rerun", tmp_path / "out/one.rrd"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert f"error: {tmp_path}/out/one.rrd: cannot be written: " in done.stderr
    assert os.listdir(tmp_path / "out") == []


def test_a_viewer_needs_a_screen(robotrove: Callable, cubes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = robotrove("inspect", cubes, 0, "--rerun")
    assert (done.code, done.out) == (2, "")
    assert "--rerun FILE.rrd" in done.err
