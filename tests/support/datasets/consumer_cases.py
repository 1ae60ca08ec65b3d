"""Datasets that are wrong in one thing, and what each release of GR00T makes of it.

Expectations are of N1, N1.5, N1.6 and N1.7, from what their loaders do (see gr00t_release.Release): E, it
refuses the dataset or reads something wrong; W, it computes something anew or depends on the environment;
a dot, it takes it. Each is found at the place that is named, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa

from ...verification.consumers.conftest import FPS, FRONT, INFO, MODALITY, NOTE, STATS, WRIST, Copy

RELEASES = ("gr00t-n1", "gr00t-n1.5", "gr00t-n1.6", "gr00t-n1.7")
FRONT_INFO = f"{INFO}, feature {FRONT}"


@dataclass(frozen=True)
class Case:
    """What is changed, what the four releases make of it, and where they find it."""

    change: Callable[[Copy], Any]
    expected: str
    where: str
    told: str


def info(change: Callable[[Any], Any]) -> Callable[[Copy], Any]:
    return lambda copy: copy.json(INFO, change)


def modality(change: Callable[[Any], Any]) -> Callable[[Copy], Any]:
    return lambda copy: copy.json(MODALITY, change)


def stats(change: Callable[[Any], Any]) -> Callable[[Copy], Any]:
    return lambda copy: copy.json(STATS, change)


def camera(change: Callable[[Any], Any]) -> Callable[[Copy], Any]:
    return lambda copy: copy.json(INFO, lambda content: change(content["features"][FRONT]))


def action(**fields: Any) -> Callable[[Copy], Any]:
    return modality(lambda content: content["action"]["arm"].update(fields))


def six(values: list[float]) -> dict[str, list[float]]:
    return dict.fromkeys(("mean", "std", "min", "max", "q01", "q99"), values)


def feature(copy: Copy, name: str, dtype: str, shape: list[int]) -> None:
    copy.json(INFO, lambda content: content["features"].update({name: {"dtype": dtype, "shape": shape, "names": None}}))


def with_scalar(copy: Copy) -> None:
    """A gripper that is a number and no list of one."""
    copy.column("grip", lambda frames: frames / FPS, pa.float32())
    feature(copy, "grip", "float32", [1])
    copy.json(STATS, lambda content: content.update(grip=six([0.5])))
    part = {"original_key": "grip", "start": 0, "end": 1}
    copy.json(MODALITY, lambda content: content["state"].update(grip=part))


def with_whole_numbers(copy: Copy) -> None:
    """A state of whole numbers, of which stats.json says nothing."""
    copy.column("mode", lambda frames: [[frame, 1] for frame in frames.tolist()], pa.list_(pa.int64()))
    feature(copy, "mode", "int64", [2])
    part = {"original_key": "mode", "start": 0, "end": 2}
    copy.json(MODALITY, lambda content: content["state"].update(mode=part))


def without_stats(dtype: str, shape: list[int], value: Any, kind: pa.DataType) -> Callable[[Copy], Any]:
    """A column more, and no stats.json."""

    def change(copy: Copy) -> None:
        copy.column("more", lambda frames: [value] * len(frames), kind)
        feature(copy, "more", dtype, shape)
        (copy.root / STATS).unlink()

    return change


def unknown_task(copy: Copy) -> None:
    copy.column(NOTE, lambda frames: np.where(frames == 3, 7, 0))


def another_annotation(copy: Copy) -> None:
    """A second annotation, of numbers that are no tasks, as IsaacLabEvalTasks has one."""
    copy.column("valid", lambda frames: np.ones_like(frames))
    feature(copy, "valid", "int64", [1])
    copy.json(MODALITY, lambda content: content["annotation"].update({"human.valid": {"original_key": "valid"}}))


def float32_times(copy: Copy) -> None:
    copy.column("timestamp", lambda frames: (frames / FPS).astype(np.float32))
    copy.json(INFO, lambda content: content["features"]["timestamp"].update(dtype="float32"))


def early(frames: int, fps: int) -> int:
    """How many of the first frames have a float32 time that is less than frame / fps, in exact fractions."""
    return sum(Fraction(float(np.float32(i / fps))) < Fraction(i, fps) for i in range(frames))


def encoded(codec: str, **options: str) -> Callable[[Copy], Any]:
    """Encode the videos of one camera anew."""

    def change(copy: Copy) -> None:
        for path in sorted((copy.root / "videos").rglob(f"{FRONT}/*.mp4")):
            _encode(path, codec, options)

    return change


def _encode(path: Path, codec: str, options: dict[str, str]) -> None:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


X264 = {"bf": "0", "sc_threshold": "0", "crf": "23", "threads": "1"}
NUMBERS, LISTS = pa.float32(), pa.list_(pa.list_(pa.float32()))

CASES: dict[str, Case] = {
    "no modality.json": Case(
        lambda copy: (copy.root / MODALITY).unlink(),
        "EEEE",
        MODALITY,
        " --gr00t --robot ROBOT` writes it",
    ),
    "no data_path": Case(info(lambda i: i.pop("data_path")), "EEEE", INFO, 'add "data_path": "data/chunk-{episode'),
    "no chunks_size": Case(info(lambda i: i.pop("chunks_size")), "EEEE", INFO, 'add "chunks_size": 1000'),
    "no video_path": Case(info(lambda i: i.pop("video_path")), "EEEE", INFO, 'add "video_path": "videos/'),
    "no fps": Case(info(lambda i: i.pop("fps")), "..WW", INFO, "takes 30"),
    "no cameras": Case(modality(lambda m: m.pop("video")), "EEEE", f"{MODALITY}, video", "is missing"),
    "no annotation": Case(
        modality(lambda m: m.pop("annotation")), "EEWW", f"{MODALITY}, annotation", '"original_key": "task_index"'
    ),
    "a slice beyond the column": Case(
        action(end=9), "EEEE", f"{MODALITY}, action.arm", "end is 9, not a part of the 7 values of action"
    ),
    "a column that is not there": Case(
        action(original_key="actions"), "EEEE", f"{MODALITY}, action.arm", 'write "original_key": "action"'
    ),
    "null for a column": Case(action(original_key=None), "EEEE", f"{MODALITY}, action.arm", "original_key is None"),
    "no camera named": Case(modality(lambda m: m.update(video={})), "EEEE", f"{MODALITY}, video", "names no camera"),
    "null for cameras": Case(modality(lambda m: m.update(video=None)), "EEEE", f"{MODALITY}, video", "is missing"),
    "a list for cameras": Case(modality(lambda m: m.update(video=[])), "EEEE", f"{MODALITY}, video", "is [] instead"),
    "the usual column": Case(modality(lambda m: m["action"]["arm"].pop("original_key")), "....", "", ""),
    "a camera by its short name": Case(
        modality(lambda m: m["video"]["front"].clear()),
        "EE..",
        f"{MODALITY}, video.front",
        f'reads \'front\', which is missing in info.json; write "original_key": "{FRONT}"',
    ),
    "a camera by its feature": Case(
        modality(lambda m: m.update(video={FRONT: {}, "wrist": {"original_key": WRIST}})),
        "..EE",
        f"{MODALITY}, video.{FRONT}",
        f"reads 'observation.images.{FRONT}', which is missing",
    ),
    "null for a camera": Case(
        modality(lambda m: m.update(video={FRONT: {"original_key": None}, "wrist": {"original_key": WRIST}})),
        "..EE",
        f"{MODALITY}, video.{FRONT}",
        "original_key is None",
    ),
    "a rotation by another name": Case(
        action(rotation_type="rot6d"), "EE..", f"{MODALITY}, action.arm", "rotation_type is 'rot6d'"
    ),
    "a rotation": Case(action(rotation_type="euler_angles_ypr"), "....", "", ""),
    "a type that is none": Case(action(dtype="decimal"), "EE..", f"{MODALITY}, action.arm", "dtype is 'decimal'"),
    "absolute or not": Case(action(absolute="maybe"), "EE..", f"{MODALITY}, action.arm", "absolute is 'maybe'"),
    "half a range": Case(action(range=[1]), "EE..", f"{MODALITY}, action.arm", "range is [1]"),
    "numbers that are no lists": Case(with_scalar, "E...", f"{MODALITY}, state.grip", "takes only lists"),
    "an instruction in a list": Case(
        lambda copy: copy.column(NOTE, lambda frames: [[0] for _ in frames], pa.list_(pa.int64())),
        "..EE",
        f"{MODALITY}, annotation.human.action.task_description",
        "holds lists of one number",
    ),
    "an instruction that is no task": Case(
        unknown_task,
        "EEEE",
        f"{MODALITY}, annotation.human.action.task_description ({NOTE}), data/chunk-000/episode_000000.parquet, row 3",
        "is 7, which is not a task_index of tasks.jsonl",
    ),
    "another annotation that is no task": Case(
        another_annotation, "WWWW", f"{MODALITY}, annotation.human.valid (valid)", "is 1, which is not a task_index"
    ),
    "Arena's blocks": Case(
        camera(lambda c: c.update(names=["height", "width", "channel"], video_info=c.pop("info"))), "....", "", ""
    ),
    "an axis channel and no video_info": Case(
        camera(lambda c: c.update(names=["height", "width", "channel"])),
        "E...",
        FRONT_INFO,
        'add "video_info": {"video.fps": 20}',
    ),
    "no channels in the block": Case(
        camera(lambda c: c["info"].pop("video.channels")), ".E..", FRONT_INFO, 'add "info": {"video.channels": 3}'
    ),
    "no block": Case(camera(lambda c: c.pop("info")), "EE..", FRONT_INFO, "it has no info"),
    "cameras of two sizes": Case(
        camera(lambda c: c.update(shape=[24, 32, 3])),
        "EE..",
        f"{MODALITY}, video",
        "front is 32x24, wrist is 64x48, and GR00T N1",
    ),
    "no names": Case(camera(lambda c: c.update(names=None)), "EE..", FRONT_INFO, '["height", "width", "channels"]'),
    "no stats.json": Case(lambda copy: (copy.root / STATS).unlink(), "WWWW", STATS, "recomputes the file"),
    "a statistic missing": Case(stats(lambda s: s["action"].pop("q99")), "WWWW", f"{STATS}, action", "has no q99"),
    "a statistic of null": Case(stats(lambda s: s["action"].update(q99=None)), "WWEE", f"{STATS}, action", "q99"),
    "a column without statistics": Case(stats(lambda s: s.pop("action")), "EEWW", f"{STATS}, action", "is missing"),
    "LeRobot's count": Case(
        stats(lambda s: s["action"].update(count=[48])),
        "EE..",
        f"{STATS}, action",
        "count is [48], and cut for action.gripper like the others, up to 7",
    ),
    "statistics of another width": Case(
        stats(lambda s: s["action"].update(mean=[0.0] * 4)), "EEEE", f"{STATS}, action", "mean is of shape (4,)"
    ),
    "LeRobot's statistics of a camera": Case(
        stats(lambda s: s.update({FRONT: {"mean": [[[0.5]]], "std": [[[0.5]]], "count": [9]}})),
        "WW..",
        f"{STATS}, {FRONT}",
        "has no min, max, q01, q99",
    ),
    "whole numbers without statistics": Case(with_whole_numbers, "EEEE", f"{STATS}, mode", "is missing"),
    "a text, and no stats.json": Case(without_stats("string", [1], "x", pa.string()), "EWWW", STATS, "does not exist"),
    "a matrix, and no stats.json": Case(
        without_stats("float32", [2, 2], [[1.0, 0.0], [0.0, 1.0]], LISTS), "EEEE", STATS, "but cannot for more"
    ),
    "whole numbers in a matrix, and no stats.json": Case(
        without_stats("int64", [2, 2], [[1, 0], [0, 1]], pa.list_(pa.list_(pa.int64()))), "EEWW", STATS, "does not"
    ),
    "whole numbers in use, and no stats.json": Case(
        lambda copy: (with_whole_numbers(copy), (copy.root / STATS).unlink()), "WWEE", STATS, "does not exist"
    ),
    "AV1": Case(encoded("libsvtav1", g="2", crf="40"), "EWWW", "videos/chunk-000/" + FRONT, "is AV1"),
    "HEVC": Case(
        encoded("libx265", g="2", **{"x265-params": "bframes=0:keyint=2:min-keyint=2:log-level=none"}),
        "WWWW",
        "videos/chunk-000/" + FRONT,
        "is HEVC",
    ),
    "few keyframes": Case(
        encoded("libx264", g="24", **X264), "WW..", "videos/chunk-000/" + FRONT, "up to 24 frames from one keyframe"
    ),
    "times in float32": Case(
        float32_times, ".E..", "data/chunk-000/episode_000000.parquet, row ", "before their frame"
    ),
}
