"""Datasets as other tools write them: LeRobot's recorders, editors and converters, and forms of two more by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robotrove.tests.judges.recordings import FRONT, STILL, WRIST, Recorder

HEIGHT, WIDTH, FPS = 32, 48, 10
DEPTH = "observation.images.front_depth"
CAMERA = {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]}
PICTURES = {STILL: CAMERA | {"dtype": "image"}}
VIDEOS = {FRONT: CAMERA, WRIST: CAMERA}
DEEP = {DEPTH: CAMERA | {"shape": [HEIGHT, WIDTH, 1], "info": {"is_depth_map": True}}}
VECTORS: dict[str, dict[str, Any]] = {
    "action": {"dtype": "float32", "shape": [5], "names": ["a", "b", "c", "d", "e"]},
    "observation.state": {"dtype": "float32", "shape": [3], "names": {"motors": ["x", "y", "z"]}},
    "observation.units": {"dtype": "int64", "shape": [3], "names": None},
    "observation.force": {"dtype": "float32", "shape": [1], "names": None},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
    "note": {"dtype": "string", "shape": [1], "names": None},
}
SUBTASK = {"subtask_index": {"dtype": "int64", "shape": [1], "names": None}}
# Two datasets of each kind: frames of each episode, and its tasks in turn.
PAIR = {"a": ([9, 5, 12, 1], ["pick", "place"]), "b": ([6, 7], ["place", "wipe 猫"])}
SUBTASKS = {"a": ["reach", "grasp", "lift"], "b": ["grasp", "place"]}


@dataclass(frozen=True)
class Kind:
    """Two datasets that one tool wrote.

    Attributes:
        roots: Their folders; the second may be merged with the first.
        is_v21: Their version; else v3.0.
    """

    roots: tuple[Path, Path]

    @property
    def is_v21(self) -> bool:
        return (self.roots[0] / "meta" / "episodes.jsonl").exists()


def joints(first: int, total: int) -> dict[str, np.ndarray]:
    """Rows of joints at rest, in degrees and in motor units: where sums of squares in float32 lose everything."""
    dice = np.random.default_rng(first)
    action = np.zeros((total, 5))
    action[:, 0] = 3.1415927
    action[:, 1] = 179.9 + dice.normal(0, 1e-4, total)
    action[:, 2] = 43 + np.cumsum(dice.normal(0, 0.002, total))
    action[:, 3] = np.cumsum(dice.normal(0, 0.1, total))
    units = np.array([2048, 4095, 0]) - dice.integers(0, 2, (total, 3)) * [0, 1, -1]
    return {"action": action.astype(np.float32), "observation.units": units}


def write_all(folder: Path) -> dict[str, Kind]:
    """Let each tool write its datasets; return them by the name of the tool and what it wrote."""
    recorders = {release: Recorder(folder / release) for release in ("0.3.3", "0.4.4", "0.6.1")}
    oldest, middle, newest = recorders.values()

    def record(recorder: Recorder, name: str, features: Mapping[str, Any]) -> None:
        for number, (side, (lengths, tasks)) in enumerate(PAIR.items()):
            total, first = sum(lengths), 100 * number + 10
            given = joints(first, total)
            if SUBTASK.keys() <= features.keys():
                given["subtask_index"] = np.arange(total)[:, None] * len(SUBTASKS[side]) // total
            features = VECTORS | features
            recorder.record(f"{name}_{side}", lengths, tasks, features=features, fps=FPS, first=first, given=given)

    record(oldest, "videos", VIDEOS)
    record(middle, "videos", VIDEOS)
    record(middle, "pictures", PICTURES)
    record(middle, "subtasks", SUBTASK)
    record(newest, "videos", VIDEOS)
    record(newest, "depth", {FRONT: CAMERA} | DEEP)
    record(newest, "pictures", PICTURES | {DEPTH: DEEP[DEPTH] | {"dtype": "image"}})
    for side, texts in SUBTASKS.items():
        middle.jobs.append({"do": "subtasks", "root": str(middle.folder / f"subtasks_{side}"), "texts": texts})
    for recorder in (middle, newest):
        videos = [recorder.folder / f"videos_{side}" for side in PAIR]
        recorder.edit("split", "split", source=str(videos[0]), parts={"a": [0, 2], "b": [1, 3]})
        recorder.edit("delete", "deleted_a", source=str(videos[0]), episodes=[1])
        recorder.edit("merge", "merged_a", sources=[str(root) for root in videos])
        recorder.edit("convert", "converted_a", source=str(oldest.folder / "videos_a"), data_mb=None, video_mb=None)
        recorder.edit("convert", "converted_b", source=str(oldest.folder / "videos_b"), data_mb=None, video_mb=None)
        for side, root in zip(PAIR, videos, strict=True):
            recorder.edit("remove", f"removed_{side}", source=str(root), features=["observation.force", WRIST])
    for side in PAIR:
        newest.edit("encode", f"encoded_{side}", source=str(newest.folder / f"pictures_{side}"))
        newest.edit("annotate", f"annotated_{side}", source=str(newest.folder / f"videos_{side}"), said=SAID[side])
    for release, recorder in recorders.items():
        assert not (errors := recorder.run(release)), errors
    kinds = {"0.3.3 videos": pair(oldest, "videos")}
    for release, recorder in (("0.4.4", middle), ("0.6.1", newest)):
        for name in ("videos", "pictures", "removed", "converted"):
            kinds[f"{release} {name}"] = pair(recorder, name)
        for name in ("deleted", "merged"):
            kinds[f"{release} {name}"] = Kind((recorder.folder / f"{name}_a", recorder.folder / "videos_b"))
        kinds[f"{release} split"] = Kind((recorder.folder / "split" / "a", recorder.folder / "split" / "b"))
    kinds["0.4.4 subtasks"] = pair(middle, "subtasks")
    kinds |= {f"0.6.1 {name}": pair(newest, name) for name in ("depth", "encoded", "annotated")}
    for name, form in FORMS.items():
        kinds[name] = Kind((folder / name / "a", folder / name / "b"))
        for side, root in zip(PAIR, kinds[name].roots, strict=True):
            shutil.copytree(oldest.folder / f"videos_{side}", root)
            form(root, side)
    return kinds


def pair(recorder: Recorder, name: str) -> Kind:
    return Kind((recorder.folder / f"{name}_a", recorder.folder / f"{name}_b"))


def said(content: str | None, style: str | None, timestamp: float, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "style": style, "timestamp": timestamp, **more}


CALL = {"type": "function", "function": {"name": "say", "arguments": {"text": "grüße"}}}
AT = float(np.float32(2 / FPS))
# Of `a` one episode has an event, another no entry at all; `b` has no event.
SAID = {
    "a": {
        "0": [said("plan of 0", "plan", 0.0), said("reach", "subtask", 0.0), said(None, None, AT, tool_calls=[CALL])],
        "2": [said("grasp", "subtask", AT), said("where is it?", "vqa", AT, camera=FRONT)],
    },
    "b": {"0": [said("wipe", "subtask", 0.0)], "1": [said("wipe 猫", "subtask", 0.0)]},
}


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_lines(path: Path, change: Callable[[int, dict[str, Any]], object]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        change(number, line)
    path.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))


def change_rows(root: Path, change: Callable[[int, pa.Table], pa.Table]) -> None:
    for number, path in enumerate(sorted(root.glob("data/*/*.parquet"))):
        pq.write_table(change(number, pq.read_table(path)), path)


def any4lerobot(root: Path, side: str) -> None:
    """What its converters leave: rows with metadata of datasets 4, and keys and files of their own."""

    def described(info: dict[str, Any]) -> None:
        for feature in info["features"].values():
            if feature["dtype"] == "video":
                feature["names"] = ["height", "width", "channel"]
                feature["video_info"] = feature.pop("info")
        info["features"]["action"]["unit"] = "rad"
        info["collector"] = f"station {side}"

    def cut(number: int, table: pa.Table) -> pa.Table:
        metadata = {
            key: value.replace(b'"_type": "Sequence"', b'"_type": "List"')
            for key, value in (table.schema.metadata or {}).items()
        }
        wide = {"action": pa.list_(pa.float32()), "observation.state": pa.list_(pa.float32())}
        for key, kind in wide.items():
            at = table.column_names.index(key)
            table = table.set_column(at, key, table[key].cast(kind))
        return table.replace_schema_metadata(metadata)

    def measured(number: int, line: dict[str, Any]) -> None:
        for key, stats in line["stats"].items():
            stats |= {name: stats["mean"] for name in ("q01", "q10", "q50", "q90", "q99")} if "images" in key else {}

    def told(number: int, line: dict[str, Any]) -> None:
        line["action_config"] = [{"start_frame": 0, "end_frame": line["length"], "skill": f"Pick {side} {number}"}]
        line["init_scene"] = f"Szene «{side}{number}»"

    change_json(root / "meta/info.json", described)
    change_rows(root, cut)
    change_lines(root / "meta/episodes.jsonl", told)
    change_lines(root / "meta/tasks.jsonl", lambda number, line: line.update(category=f"kind of {line['task']}"))
    (root / "annotations").mkdir()
    (root / f"annotations/{side}.json").write_text(f'{{"boxes": "{side}"}}')
    (root / "README.md").write_text(f"# Dataset {side}\n")
    (root / "LICENSE").write_text("Apache 2.0\n")
    (root / "meta/camera.json").write_text(f'{{"fov": {len(side)}}}')
    change_lines(root / "meta/episodes_stats.jsonl", measured)


TEXTS = {"a": {0: "pick", 3: "valid", 4: "place", 9: "rest"}, "b": {0: "place", 1: "wipe 猫", 2: "rest", 5: "valid"}}
DESCRIPTION, COARSE, VALIDITY = (
    f"annotation.human.{name}" for name in ("action.task_description", "coarse_action", "validity")
)


def gr00t(root: Path, side: str) -> None:
    """NVIDIA's form: annotations point into tasks.jsonl, whose numbers have gaps; statistics without counts."""
    texts = TEXTS[side]
    numbers = {text: number for number, text in texts.items()}
    old = {n: json.loads(line)["task"] for n, line in enumerate((root / "meta/tasks.jsonl").read_text().splitlines())}

    def annotated(number: int, table: pa.Table) -> pa.Table:
        own = pa.array([numbers[old[task]] for task in table["task_index"].to_pylist()], pa.int64())
        table = table.set_column(table.column_names.index("task_index"), "task_index", own)
        rest = [numbers["rest"] if row % 2 else task for row, task in enumerate(own.to_pylist())]
        valid = pa.array([numbers["valid"]] * len(own), pa.int64())
        return (
            table.append_column(DESCRIPTION, own)
            .append_column(COARSE, pa.array(rest, pa.int64()))
            .append_column(VALIDITY, valid)
        )

    def described(info: dict[str, Any]) -> None:
        info["features"] |= {
            key: {"dtype": "int64", "shape": [1], "names": None} for key in (DESCRIPTION, COARSE, VALIDITY)
        }
        info["total_tasks"] = len(texts)
        for name in ("total_videos", "total_chunks"):
            del info[name]

    def listed(number: int, line: dict[str, Any]) -> None:
        line["tasks"] += [text for text in ("valid", "rest") if text != "rest" or line["length"] > 1]

    def measured(number: int, line: dict[str, Any]) -> None:
        table = pq.read_table(root / f"data/chunk-000/episode_{number:06d}.parquet")
        for key in ("task_index", DESCRIPTION, COARSE, VALIDITY):
            values = table[key].to_numpy()[:, None]
            line["stats"][key] = {
                name: getattr(values, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")
            } | {"count": [len(values)]}

    change_rows(root, annotated)
    change_json(root / "meta/info.json", described)
    change_lines(root / "meta/episodes.jsonl", listed)
    change_lines(root / "meta/episodes_stats.jsonl", measured)
    lines = [json.dumps({"task_index": number, "task": text}, ensure_ascii=False) for number, text in texts.items()]
    (root / "meta/tasks.jsonl").write_text("\n".join(lines) + "\n")
    modality = {
        "state": {"pose": {"start": 0, "end": 3, "original_key": "observation.state"}},
        "action": {"arm": {"start": 0, "end": 5}},
        "video": {"front": {"original_key": FRONT}, "wrist": {"original_key": WRIST}},
        "annotation": {"human.action.task_description": {}, "human.coarse_action": {}, "human.validity": {}},
    }
    (root / "meta/modality.json").write_text(json.dumps(modality, indent=4))


FORMS: dict[str, Callable[[Path, str], None]] = {"any4lerobot": any4lerobot, "gr00t": gr00t}
