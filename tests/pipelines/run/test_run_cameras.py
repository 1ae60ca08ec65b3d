"""Depth and masks beside the cameras of each layout: the dataset has the pictures alone, with their colours."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.manifests.run_report import RunReport
from robotrove.media.image.images import encode_png
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.spec.pipeline_draft import guess, pipeline_text
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.media.pictures16 import chunk, png16
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    write_pipeline,
)
from robotrove.tests.support.places import SHARED_DATA, needs

FRAMES, HEIGHT, WIDTH = 4, 48, 64
FAR = np.linspace(0, 1, FRAMES * HEIGHT * WIDTH).reshape(FRAMES, HEIGHT, WIDTH, 1)
NOISE = np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 4), dtype=np.uint8)
ENCODED = [np.frombuffer(png16((image[..., 0] * 4000).astype(np.uint16)), np.uint8) for image in FAR]
# Name to rows and the note; in a folder of cameras none of them may become one.
LEFT_OUT: dict[str, tuple[Any, str]] = {
    "{}_depth": (FAR.astype(np.float32), "depth (one channel of float32; `assume: grey`"),
    "{}_map": (FAR[..., 0], "depth (one channel of float64; `assume: grey`"),
    "{}_mm": ((FAR * 4000).astype(np.uint16), "depth (one channel of uint16)"),
    "{}_seg": (NOISE[..., :3], "a mask (its name has the word 'seg';"),
    "{}_ids": (NOISE.astype(np.int32)[..., :1], "depth (one channel of int32)"),
    "{}_labels": (NOISE, "a mask (the fourth channel has other values than 255;"),
    "{}_free": (NOISE[..., :1] > 127, "a mask (bool;"),
    "{}_wide": (NOISE[..., :3].astype(np.int32), "a mask, or colours of more than 8 bits (int32;"),
    "{}_png16": (ENCODED, "depth (grey of 16 bits)"),
}
# Sample to folder of its cameras in an episode, and the name of one there.
PLACES = {
    **dict.fromkeys(("isaaclab", "leisaac", "arena_droid", "evaltasks"), ("obs", "front")),
    **dict.fromkeys(("robomimic", "libero"), ("obs", "front")),
    **dict.fromkeys(("piper", "piper_raw"), ("", "image_front")),
    **dict.fromkeys(("aloha", "aloha_padded", "aloha_vlen"), ("observations/images", "front")),
}


def layout_of(sample: str) -> str:
    return {"arena_droid": "isaaclab", "evaltasks": "isaaclab"}.get(sample, sample.split("_")[0])


def put(group: h5py.Group, path: str, rows: Any) -> None:
    if isinstance(rows, list):
        group.create_dataset(path, (len(rows),), h5py.vlen_dtype(np.uint8))[:] = rows
    else:
        group[path] = rows


def run(pipeline: Path, output: Path) -> tuple[RunReport, dict[str, Any]]:
    """Run a pipeline whose plan keeps what the run keeps; return its report and the features."""
    plan = make_plan(load_pipeline(pipeline))
    report = run_here(pipeline, output)
    assert (report.listed, report.kept) == (len(plan.manifest.rows), len(list(plan.manifest.kept)))
    assert list(report.notes) == plan.notes
    return report, json.loads((output / "meta/info.json").read_text())["features"]


def frames(output: Path, camera: str) -> np.ndarray:
    """Return all frames of a camera of the dataset, decoded with PyAV alone."""
    with av.open(output / f"videos/{camera}/chunk-000/file-000.mp4") as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])


def episodes(file: h5py.File) -> list[h5py.Group]:
    return [file] if "action" in file else list(file.get("data", file).values())


@pytest.mark.parametrize("name", PLACES)
def test_each_layout_has_its_colour_cameras_alone(tmp_path: Path, name: str) -> None:
    cameras = ("front", "wrist")
    paths = write_sample(name, tmp_path / "in", episodes=2, frames=FRAMES, height=HEIGHT, width=WIDTH, cameras=cameras)
    folder, camera = PLACES[name]
    expected = {f"{folder}/{place.format(camera)}".strip("/"): kind for place, (_, kind) in LEFT_OUT.items()}
    for path in paths:
        with h5py.File(path, "r+") as file:
            for group in episodes(file):
                for place, (rows, _) in zip(expected, LEFT_OUT.values(), strict=True):
                    put(group, place, rows)
    pipeline = write_pipeline(tmp_path, paths, layout_of(name), source={"task": "t", "fps": 10})
    report, features = run(pipeline, tmp_path / "out")
    assert report.kept == 2
    assert {key for key in features if "images" in key} == {f"observation.images.{camera}" for camera in cameras}
    for number, found in enumerate(cameras):
        stored = np.stack(list(pictures(FRAMES, HEIGHT, WIDTH, number)))
        decoded = frames(tmp_path / "out", f"observation.images.{found}")[:FRAMES]
        assert np.abs(decoded.mean(axis=(0, 1, 2)) - stored.mean(axis=(0, 1, 2))).max() < 5
        assert np.abs(decoded.astype(int) - stored).mean() < 12
    notes = sorted(note for note in report.notes if "not converted by default" in note)
    assert len(notes) == len(expected)
    for note, (place, kind) in zip(notes, sorted(expected.items()), strict=True):
        assert note.startswith(f"{place} is not converted by default: {kind}")
        assert note.endswith("(2 episodes)")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of no known layout: its first episode has what is no picture, the second has pictures there."""
    path = tmp_path_factory.mktemp("in") / "a.h5"
    with h5py.File(path, "w") as file:
        for key in ("e0", "e1"):
            group = file.create_group(key)
            group["action"] = np.arange(FRAMES * 2, dtype=np.float32).reshape(FRAMES, 2)
            for place, (rows, _) in LEFT_OUT.items():
                put(group, place.format("cam"), rows if key == "e0" else NOISE[..., :3])
            group["opaque"] = np.concatenate([NOISE[..., :3], np.full((FRAMES, HEIGHT, WIDTH, 1), 255, np.uint8)], 3)
            group["first"] = NOISE[..., :3].transpose(0, 3, 1, 2)
            late = png16(NOISE[0, ..., 0].astype(np.uint16)) if key == "e0" else encode_png(NOISE[0, ..., :3])
            put(group, "late", [np.frombuffer(data, np.uint8) for data in [encode_png(NOISE[0, ..., :3]), *[late] * 3]])
    return path


def by_hand(folder: Path, recording: Path, camera: Any) -> Path:
    columns = {"action": "action", "observation.images.cam": camera}
    source = {"columns": columns, "options": {"episodes": "/e*"}, "task": "t", "fps": 10}
    return write_pipeline(folder, [recording], "generic", source=source)


@pytest.mark.parametrize("name", [name for name in LEFT_OUT if name not in ("{}_seg", "{}_map")])
@pytest.mark.parametrize("kind", ["auto", "video", "image"])
def test_mapped_by_hand_only_its_episodes_are_rejected(tmp_path: Path, recording: Path, name: str, kind: str) -> None:
    path, reason = name.format("cam"), LEFT_OUT[name][1]
    pipeline = by_hand(tmp_path, recording, {"from": path, "kind": kind})
    [rejected, kept] = make_plan(load_pipeline(pipeline)).manifest.rows
    assert (rejected.key, rejected.reason, kept.key, kept.reason) == ("e0", "image_dtype", "e1", "")
    assert rejected.detail.startswith(f"/e0/{path} (4")
    assert f"is not a picture but {reason}" in rejected.detail


def test_a_name_of_a_mask_rejects_until_the_pipeline_decides(tmp_path: Path, recording: Path) -> None:
    rows = make_plan(load_pipeline(by_hand(tmp_path, recording, "cam_seg"))).manifest.rows
    assert [row.reason for row in rows] == ["image_dtype"] * 2
    pipeline = by_hand(tmp_path, recording, {"from": "cam_seg", "assume": "colour", "kind": "image"})
    report, features = run(pipeline, tmp_path / "out")
    assert (report.kept, features["observation.images.cam"]["shape"]) == (2, [HEIGHT, WIDTH, 3])
    assert_pictures(tmp_path / "out", np.concatenate([NOISE[..., :3], NOISE[..., :3]]))


def assert_pictures(output: Path, expected: np.ndarray) -> None:
    """The pictures in the rows of a dataset, decoded with Pillow."""
    image = pytest.importorskip("PIL.Image", reason="pillow, the other decoder to compare with, is in the dev extra")
    cells = pq.read_table(output / "data/chunk-000/file-000.parquet").column("observation.images.cam").to_pylist()
    found = [np.asarray(image.open(io.BytesIO(cell["bytes"]))) for cell in cells]
    np.testing.assert_array_equal(np.stack(found), expected)


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ({"from": "cam_labels", "assume": "colour"}, [NOISE[..., :3], NOISE[..., :3]]),
        ("opaque", [NOISE[..., :3], NOISE[..., :3]]),
        ("first", [NOISE[..., :3], NOISE[..., :3]]),
        ({"from": "first", "color": "bgr", "flip": "rotate180"}, [NOISE[:, ::-1, ::-1, 2::-1]] * 2),
        ({"from": "cam_depth", "assume": "grey"}, [np.rint(FAR * 255).astype(np.uint8)[..., [0] * 3], NOISE[..., :3]]),
        (
            {"from": "cam_map", "assume": "grey"},
            [np.rint(FAR * 255).astype(np.uint8)[..., 0, None][..., [0] * 3], NOISE[..., :3]],
        ),
    ],
    ids=["labels", "opaque", "channels first", "turned", "grey", "grey without an axis"],
)
def test_pictures_by_hand_are_exact(tmp_path: Path, recording: Path, camera: Any, expected: list[np.ndarray]) -> None:
    camera = {"kind": "image", **({"from": camera} if isinstance(camera, str) else camera)}
    report, features = run(by_hand(tmp_path, recording, camera), tmp_path / "out")
    assert (report.kept, features["observation.images.cam"]["shape"]) == (2, [HEIGHT, WIDTH, 3])
    assert_pictures(tmp_path / "out", np.concatenate(expected))


def test_depth_in_a_later_row_is_found_by_the_run(tmp_path: Path, recording: Path) -> None:
    pipeline = by_hand(tmp_path, recording, "late")
    assert [row.reason for row in make_plan(load_pipeline(pipeline)).manifest.rows] == ["", ""]
    report = run_here(pipeline, tmp_path / "out")
    assert (report.kept, report.rejected) == (1, {"image_dtype": 1})
    line = json.loads((tmp_path / "out.run/rejected.jsonl").read_text())
    assert line["detail"].startswith("/e0/late row 1 ")
    assert line["detail"].endswith("a PNG with 16 bits for each grey pixel; pictures have 8")


def test_a_draft_lists_what_is_no_picture_with_the_reason(tmp_path: Path) -> None:
    [path] = write_sample("isaaclab", tmp_path, episodes=2, frames=FRAMES, height=HEIGHT, width=WIDTH)
    with h5py.File(path, "r+") as file:
        for group in episodes(file):
            for place, (rows, _) in LEFT_OUT.items():
                put(group, f"obs/{place.format('cam')}", rows)
    text = pipeline_text(guess([path]), "out")
    for place, (_, reason) in LEFT_OUT.items():
        [line] = [line for line in text.splitlines() if f"obs/{place.format('cam')}" in line]
        assert line.startswith("    # ")
        assert reason in line
    (tmp_path / "draft.yaml").write_text(text)
    features = make_plan(load_pipeline(tmp_path / "draft.yaml")).features
    assert {key for key in features if "images" in key} == {"observation.images.front", "observation.images.wrist"}


def oriented(orientation: int, image: np.ndarray) -> np.ndarray:
    """Return a PNG with an EXIF orientation, as an encoded row."""
    data, exif = encode_png(image), b"MM\0*" + struct.pack(">IHHHIHxx", 8, 1, 0x0112, 3, 1, orientation)
    return np.frombuffer(data[:33] + chunk(b"eXIf", exif) + data[33:], np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("flip", ["", "none", "vertical", "horizontal", "rotate180"])
def test_an_exif_orientation_is_said_until_flip_decides(tmp_path: Path, orientation: int, flip: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["e0/action"] = file["e1/action"] = np.zeros((FRAMES, 2), np.float32)
        for key in ("e0", "e1"):
            put(file[key], "cam", [oriented(orientation, image) for image in NOISE[..., :3]])
    camera = {"from": "cam", "kind": "image"} | ({"flip": flip} if flip else {})
    pipeline = by_hand(tmp_path, tmp_path / "a.h5", camera)
    notes = [note for note in make_plan(load_pipeline(pipeline)).notes if "EXIF" in note]
    if orientation == 1 or flip:
        assert notes == []
    else:
        flips = {2: "horizontal", 3: "rotate180", 4: "vertical"}
        turned = {number: f"`flip: {name}` turns them upright" for number, name in flips.items()}
        assert notes == [
            f"observation.images.cam: the frames are stored as they are, without their EXIF orientation {orientation}; "
            f"{turned.get(orientation, 'robotrove cannot turn them upright')}, `flip: none` ends this note (2 episodes)"
        ]
    if orientation in (3, 6) and flip in ("", "rotate180"):
        run_here(pipeline, tmp_path / "out")
        upright = NOISE[:, ::-1, ::-1, :3] if flip else NOISE[..., :3]
        assert_pictures(tmp_path / "out", np.concatenate([upright, upright]))


def test_an_exif_orientation_of_a_default_camera_is_said(tmp_path: Path) -> None:
    [path] = write_sample("aloha_vlen", tmp_path, episodes=1, frames=FRAMES, height=HEIGHT, width=WIDTH)
    with h5py.File(path, "r+") as file:
        for camera, orientation in (("front", 8), ("wrist", 1)):
            rows = file[f"observations/images/{camera}"]
            del file[f"observations/images/{camera}"]
            put(file, f"observations/images/{camera}", [oriented(orientation, NOISE[0, ..., :3])] * len(rows))
    [note] = [
        note for note in make_plan(load_pipeline(write_pipeline(tmp_path, [path], "aloha"))).notes if "EXIF" in note
    ]
    assert note.startswith("observation.images.front: ")
    assert "EXIF orientation 8; robotrove cannot turn them upright" in note


def test_an_exif_orientation_is_said_of_a_camera_with_cut_rows(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["e0/action"] = np.zeros((FRAMES - 1, 2), np.float32)
        put(file["e0"], "cam", [oriented(3, image) for image in NOISE[..., :3]])
    pipeline = by_hand(tmp_path, tmp_path / "a.h5", {"from": "cam", "kind": "image", "rows": [1, None]})
    report = run_here(pipeline, tmp_path / "out")
    assert [note for note in report.notes if "EXIF orientation 3; `flip: rotate180`" in note]
    assert_pictures(tmp_path / "out", NOISE[1:, ..., :3])


SIMS = SHARED_DATA / "sims"


@needs(SIMS)
def test_depth_and_masks_of_real_recorders(tmp_path: Path) -> None:
    lab = SIMS / "other/isaaclab3_visuomotor_depth.hdf5"
    report, features = run(write_pipeline(tmp_path, [lab], source={"task": "t"}), tmp_path / "lab")
    assert [key for key in features if "images" in key] == ["observation.images.table_cam"]
    with h5py.File(lab) as file:
        stored = np.concatenate([file[f"data/demo_{demo}/obs/table_cam"][()] for demo in range(report.kept)])
    decoded = frames(tmp_path / "lab", "observation.images.table_cam")
    assert (report.kept, len(decoded)) == (4, len(stored))
    assert np.abs(decoded.astype(int) - stored).mean() < 12
    assert [note.split(": ")[0] for note in report.notes if "by default" in note] == [
        "obs/table_cam_depth is not converted by default",
        "obs/table_cam_seg is not converted by default",
    ]
    suite = SIMS / "robosuite/image_depth.hdf5"
    report, features = run(write_pipeline(tmp_path, [suite], "robomimic"), tmp_path / "suite")
    assert [key for key in features if "images" in key] == ["observation.images.agentview"]
    [note] = [note for note in report.notes if "by default" in note]
    assert note.startswith("obs/agentview_depth is not converted by default: depth (one channel of float32;")
    skill = SIMS / "maniskill/pushcube_rgbd.h5"
    columns = {"observation.images.x": "obs/sensor_data/base_camera/depth"}
    source = {"columns": columns, "options": {"episodes": "/traj_*"}, "task": "t"}
    rows = make_plan(load_pipeline(write_pipeline(tmp_path, [skill], "generic", source=source))).manifest.rows
    assert {row.reason for row in rows} == {"image_dtype"}
    assert rows[0].detail.endswith("(5, 128, 128, 1) of int16 is not a picture but depth (one channel of int16)")


@needs(SIMS)
def test_float_pictures_outside_their_range_name_the_row(tmp_path: Path) -> None:
    with h5py.File(SIMS / "other/isaaclab3_visuomotor_depth.hdf5") as file:
        normal = file["data/demo_0/obs/table_cam_norm"][()]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, rows in (("e0", normal), ("e1", normal - 0.5)):
            file[f"{key}/action"], file[f"{key}/cam"] = np.zeros((len(rows), 2), np.float32), rows
    pipeline = by_hand(tmp_path, tmp_path / "a.h5", {"from": "cam", "kind": "image"})
    report = run_here(pipeline, tmp_path / "out")
    assert (report.kept, report.rejected) == (1, {"bad_image": 1})
    assert_pictures(tmp_path / "out", np.rint(normal * 255).astype(np.uint8))
    assert "/e1/cam row 0 has values from -0." in (tmp_path / "out.run/rejected.jsonl").read_text()
