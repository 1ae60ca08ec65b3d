"""The tiny dataset with what LeRobot 0.6 adds: annotations in the rows, depth in a video and in pictures."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import tiny_v30
from .tiny_v30 import FPS, LENGTHS, STARTS, TOP, VIDEO_FILES, WRIST

PERSISTENT, EVENTS = "language_persistent", "language_events"
SIZE = (64, 80)
QUANTIZER = {"video.depth_min": 0.01, "video.depth_max": 10.0, "video.shift": 3.5, "video.use_log": True}


def entry(content: str | None, style: str | None, time: float | None = None, **more: Any) -> dict[str, Any]:
    """An entry of a persistent column, or without a time of events."""
    when = {} if time is None else {"timestamp": time}
    return {"role": "assistant", "content": content, "style": style, **when, "camera": None, "tool_calls": None} | more


def call(**arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "say", "arguments": arguments}}


def annotate(root: Path, events: dict[int, list[dict[str, Any]]], types: Sequence[pa.DataType | None] = ()) -> None:
    """Add language columns to a dataset, typed file by file as pyarrow infers them, or as `types` says of events."""
    edit(root, lambda info: info["features"].update({key: language() for key in (PERSISTENT, EVENTS)}))
    for number, path in enumerate(sorted(root.glob("data/*/*.parquet"))):
        table = pq.read_table(path)
        persistent = [persistent_of(episode) for episode in table["episode_index"].to_pylist()]
        kind = types[number] if number < len(types) else None
        spoken = pa.array([events.get(row, []) for row in table["index"].to_pylist()], kind)
        table = table.append_column(PERSISTENT, pa.array(persistent)).append_column(EVENTS, spoken)
        pq.write_table(table.replace_schema_metadata(None), path)


def language() -> dict[str, Any]:
    return {"dtype": "language", "shape": [1], "names": None}


def persistent_of(episode: int) -> list[dict[str, Any]]:
    return [entry(f"plan of {episode}", "plan", 0.0), entry("grüße – ä", "subtask", float(np.float32(1 / FPS)))]


def edit(root: Path, change: Any, path: str = "meta/info.json") -> None:
    content = json.loads((root / path).read_text())
    change(content)
    (root / path).write_text(json.dumps(content))


def spoken(root: Path, column: str) -> list[list[dict[str, Any]]]:
    """Entries of all rows as LeRobot's loader gives them: calls parsed, missing fields None."""
    rows = [row for path in sorted(root.glob("data/*/*.parquet")) for row in pq.read_table(path)[column].to_pylist()]
    return [[one | {"tool_calls": parsed(one.get("tool_calls"))} for one in row] for row in rows]


def parsed(calls: Any) -> Any:
    return calls and [json.loads(one) if isinstance(one, str) else one for one in calls]


def tiny(root: Path) -> Path:
    tiny_v30.build(root)
    return root


def codes(frame: int) -> np.ndarray:
    """Codes of 12 bits, other ones in each frame."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return ((rows * 37 + columns * 11 + frame * 301) % 4096).astype(np.uint16)


def write_codes(
    path: Path, lengths: Sequence[int], first: int, codec: str = "libx265", pix_fmt: str = "gray12le", g: str = "2"
) -> None:
    """Encode depth as LeRobot 0.6 does, with B-frames, and concatenate its episodes by their packets."""
    from robotrove.media.remux.clip import Clip
    from robotrove.media.remux.concat import join

    clips = []
    for number, length in enumerate(lengths):
        clip = path.with_name(f"clip-{number}.mp4")
        with av.open(str(clip), "w") as container:
            options = {"g": g, "crf": "30", "x265-params": "lossless=1:log-level=error:pools=1:frame-threads=1"}
            stream = container.add_stream(codec, rate=FPS, options=options)
            stream.pix_fmt, stream.height, stream.width = pix_fmt, *SIZE
            for row in range(length):
                frame = av.VideoFrame.from_ndarray(codes(first + row), format="gray12le")
                frame.pts, frame.time_base = row, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        clips.append(Clip(clip, 0, length))
        first += length
    join(clips, path, FPS)
    for clip in clips:
        clip.path.unlink()


def deepen(root: Path, g: str = "2", **settings: Any) -> None:
    """Make WRIST a video of depth in millimetres."""
    for number, episodes in enumerate(VIDEO_FILES[WRIST]):
        path = root / "videos" / WRIST / "chunk-000" / f"file-{number:03d}.mp4"
        write_codes(path, [LENGTHS[e] for e in episodes], int(STARTS[episodes[0]]), g=g)
    said = {"is_depth_map": True, "depth_unit": "mm", "video.codec": "hevc", "video.pix_fmt": "gray12le"}
    entry = {"dtype": "video", "shape": [*SIZE, 1], "names": ["height", "width", "channels"]}
    edit(root, lambda info: info["features"].update({WRIST: entry | {"info": said | QUANTIZER | settings}}))
    measured(root, WRIST)


def measured(root: Path, key: str) -> None:
    """Give a camera the statistics of depth in millimetres, others for each episode."""
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    for number, row in enumerate(rows):
        row |= {f"stats/{key}/{name}": [[[value]]] for name, value in depth_stats(number).items()}
        row[f"stats/{key}/count"] = [LENGTHS[number]]
    pq.write_table(pa.Table.from_pylist(rows), path)
    whole = {name: [[[value]]] for name, value in depth_stats(0).items()} | {"count": [sum(LENGTHS)]}
    edit(root, lambda stats: stats.update({key: whole}), "meta/stats.json")


def depth_stats(number: int) -> dict[str, float]:
    names = ("min", "q01", "q10", "q50", "q90", "q99", "max")
    values = {name: 100.0 * (number + 1) * at for at, name in enumerate(names)}
    return values | {"mean": 300.0 * (number + 1), "std": 50.0 + number}


def decoded(root: Path, key: str) -> np.ndarray:
    """Codes of all frames, by episode."""
    frames = []
    for path in sorted((root / "videos" / key).rglob("*.mp4")):
        with av.open(str(path)) as container:
            frames += [frame.reformat(format="gray12le").to_ndarray() for frame in container.decode(video=0)]
    return np.stack(frames)


def tiff(values: np.ndarray, order: str = "<") -> bytes:
    """A TIFF of one channel, as Pillow writes it without compression."""
    height, width = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    facts = {256: width, 257: height, 258: values.dtype.itemsize * 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    facts |= {279: len(data), 339: 3 if values.dtype.kind == "f" else 1}
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    fields = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(facts.items()))
    return head + data + struct.pack(f"{order}H", len(facts)) + fields + bytes(4)


def picture_rows(root: Path, contents: Sequence[bytes], feature: dict[str, Any]) -> None:
    """Give TOP other pictures, which take turns."""
    edit(root, lambda info: info["features"].update({TOP: feature}))
    for path in sorted(root.glob("data/*/*.parquet")):
        table = pq.read_table(path)
        at = table.column_names.index(TOP)
        rows = [
            {"bytes": contents[row % len(contents)], "path": f"frame-{row:06d}.tiff"}
            for row in table["index"].to_pylist()
        ]
        pq.write_table(table.set_column(at, table.field(at), pa.array(rows, table.field(at).type)), path)
