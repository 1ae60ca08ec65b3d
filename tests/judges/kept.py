"""What a new dataset lost of its sources; reads files with pyarrow and PyAV alone, and knows nothing of robotrove."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq

PLACED = ("index", "episode_index")
TASKS = "task_index"
SUBTASKS = "subtask_index"
# Of info.json: what says where files are and how many things there are.
COUNTED = {
    *("codebase_version", "features", "splits", "data_path", "video_path", "chunks_size"),
    *("data_files_size_in_mb", "video_files_size_in_mb"),
    *(f"total_{name}" for name in ("episodes", "frames", "tasks", "videos", "chunks")),
}
# Of meta/: files that each version has in a form of its own, and those that GR00T computes.
FORMS = ("info.json", "stats.json", "relative_stats.json", "tasks.parquet", "tasks.jsonl", "episodes.jsonl")
FORMS += ("episodes_stats.jsonl", "subtasks.parquet", "subtasks.jsonl")
CAMERAS, LEVEL = ("video", "image"), 1 / 255
PLACES = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")


class Files:
    """A dataset of either version by its files.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info: dict[str, Any] = json.loads((root / "meta/info.json").read_text())
        self.is_v21 = (root / "meta/episodes.jsonl").exists()

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "meta" / name).read_text().splitlines() if line]

    @cached_property
    def features(self) -> dict[str, dict[str, Any]]:
        return dict(self.info["features"])

    def listed(self, name: str) -> dict[str, dict[str, Any]]:
        """Tasks or subtasks by their text: the number and what else is said of each."""
        rows: list[dict[str, Any]] = []
        if (self.root / f"meta/{name}s.jsonl").exists():
            rows = self._lines(f"{name}s.jsonl")
        elif (self.root / f"meta/{name}s.parquet").exists():
            rows = pq.read_table(self.root / f"meta/{name}s.parquet").to_pylist()
        return {row.pop(name if name in row else "__index_level_0__"): row for row in rows}

    def texts(self, name: str) -> dict[int, str]:
        """Texts of tasks or subtasks by their numbers."""
        return {row[f"{name}_index"]: text for text, row in self.listed(name).items()}

    @cached_property
    def episodes(self) -> list[dict[str, Any]]:
        """What is said of each episode, by its number; `stats/FEATURE/NAME` in either version."""
        if not self.is_v21:
            files = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
            return [row for path in files for row in pq.read_table(path).to_pylist()]
        found = self._lines("episodes.jsonl")
        if (self.root / "meta/episodes_stats.jsonl").exists():
            for row, line in zip(found, self._lines("episodes_stats.jsonl"), strict=True):
                row |= {f"stats/{key}/{name}": v for key, stats in line["stats"].items() for name, v in stats.items()}
        return found

    @cached_property
    def tables(self) -> list[Any]:
        return [pq.read_table(path) for path in sorted(self.root.glob("data/*/*.parquet"))]

    def rows(self, key: str) -> list[Any] | None:
        """All rows of a column; None if it is not in the files. A list of one number is the number."""
        if any(key not in table.column_names for table in self.tables):
            return None
        is_single = self.features[key]["shape"] in ([1], [])
        values = chain.from_iterable(table[key].to_pylist() for table in self.tables)
        if self.features[key]["dtype"] == "language":
            return [[spoken(entry) for entry in row or []] for row in values]
        return [value[0] if is_single and isinstance(value, list) else value for value in values]

    def said(self, key: str) -> list[Any] | None:
        """Rows of a column as texts if it has numbers of tasks or subtasks, see `lost`."""
        rows = self.rows(key)
        texts = self.texts("subtask" if key == SUBTASKS else "task")
        return rows and [texts.get(number, f"no text of {number}") for number in rows]

    def frames(self, key: str) -> Iterator[np.ndarray]:
        """All frames of a camera in order, as they are stored: planes of 12 bits, or RGB."""
        held: dict[Path, list[np.ndarray]] = {}
        for at, episode in enumerate(self.episodes):
            where: dict[str, Any] = {"video_key": key, "episode_index": at}
            where["episode_chunk"] = at // self.info["chunks_size"]
            where |= {name: episode.get(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")}
            path = self.root / self.info["video_path"].format(**where)
            if path not in held:
                held = {path: list(decoded(path))}
            first = round(episode.get(f"videos/{key}/from_timestamp", 0) * self.info["fps"])
            yield from held[path][first : first + episode["length"]]

    @cached_property
    def others(self) -> dict[str, bytes]:
        """Files that belong to no version: of meta/, annotations/ and beside them, by path."""
        own = {"data", "videos", "images"}
        found = (path for path in self.root.rglob("*") if path.is_file())
        relative = ((path.relative_to(self.root), path) for path in found)
        return {
            str(name): path.read_bytes()
            for name, path in relative
            if name.parts[0] not in own
            and name.parts[:2] not in (("meta", "episodes"), ("meta", "robotrove"))
            and not (name.parts[0] == "meta" and len(name.parts) == 2 and name.name in FORMS)
        }


def spoken(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of annotations, without empty fields; calls as objects."""
    calls = entry.get("tool_calls")
    calls = calls and [json.loads(call) if isinstance(call, str) else call for call in calls]
    return {key: value for key, value in {**entry, "tool_calls": calls}.items() if value is not None}


def decoded(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        form = "gray12le" if "12" in (stream.codec_context.pix_fmt or "") else "rgb24"
        yield from (frame.to_ndarray(format=form) for frame in container.decode(stream))


def lost(sources: Sequence[Path], output: Path, said: str, texts: Iterable[str] = ()) -> list[str]:
    """Return what the output neither has as its sources have it, nor `said` names.

    Compared are every row of every column, every frame, each entry of features and info.json, each episode's tasks and
    what else is said of it, statistics of cameras, and files of meta/ and beside it. Numbers of tasks are compared by
    text.

    Args:
        sources: Datasets in their order.
        output: The dataset that was made of them.
        said: What the command printed.
        texts: Columns beside task_index and subtask_index that hold numbers of tasks.
    """
    given, made = [Files(root) for root in sources], Files(output)
    found: list[str] = []

    def check(what: str, is_kept: bool, *names: str) -> None:
        if not is_kept and not all(name in said for name in names):
            found.append(what)

    for key in dict.fromkeys(key for source in given for key in source.features):
        for problem in _column(given, made, key, {TASKS, *texts}):
            check(f"{key}: {problem}", False, key)
        for source in given:
            entry, own = source.features.get(key, {}), made.features.get(key, {})
            for name, value in _flat(entry):
                other = dict(_flat(own)).get(name)
                check(f"{key} of {source.root.name}: {name} was {value!r}, is {other!r}", value == other, key)
    for source in given:
        for key in source.info.keys() - COUNTED:
            value, other = source.info[key], made.info.get(key)
            check(f"info.json of {source.root.name}: {key} was {value!r}, is {other!r}", value == other, key)
        for path, content in source.others.items():
            check(f"{path} of {source.root.name}", made.others.get(path) == content, path)
        for name in ("task", "subtask"):
            for text, row in source.listed(name).items():
                check(f"{name} {text!r} of {source.root.name}", text in made.listed(name))
                for key, value in row.items():
                    is_kept = key == f"{name}_index" or _same(value, made.listed(name).get(text, {}).get(key))
                    check(f"{key} of {text!r} in {source.root.name}", is_kept, key)
    for at, (number, episode) in enumerate((n, e) for source in given for n, e in enumerate(source.episodes)):
        own = made.episodes[at] if at < len(made.episodes) else {}
        where = f"episode {number}, {at} of the output"
        check(f"{where}: length", episode["length"] == own.get("length"))
        check(f"{where}: tasks", set(episode["tasks"]) == set(own.get("tasks", ())))
        for name, value in episode.items():
            if name in PLACES or name.startswith(("data/", "videos/", "meta/")):
                continue
            if not name.startswith("stats/"):
                check(f"{where}: {name} was {value!r}", _same(value, own.get(name)), name)
            elif made.features.get(key := name.removeprefix("stats/").rpartition("/")[0], {}).get("dtype") in CAMERAS:
                is_whole = f"stats/{key}/q50" in episode  # otherwise all are computed again, from the frames
                check(f"{where}: {name} was {value!r}", _same(value, own.get(name), 0 if is_whole else LEVEL), key)
    check("the number of episodes", sum(len(source.episodes) for source in given) == len(made.episodes))
    return found


def _column(given: Sequence[Files], made: Files, key: str, texts: set[str]) -> Iterator[str]:
    """Yield what the rows or frames of a feature lost."""
    if key in PLACED:
        return
    if key not in made.features:
        yield "is not in the output"
        return
    if made.features[key]["dtype"] == "video":
        before = chain.from_iterable(source.frames(key) for source in given)
        pairs = list(zip(before, made.frames(key), strict=True))
        differing = [at for at, (old, new) in enumerate(pairs) if not np.array_equal(old, new)]
        if differing:
            yield f"{len(differing)} of {len(pairs)} frames are others, from frame {differing[0]} on"
        return
    is_text = key in texts or (key == SUBTASKS and made.texts("subtask"))
    own, *rows = (files.said(key) if is_text else files.rows(key) for files in (made, *given))
    if any(part is None for part in rows) or own is None:
        if own is not None or any(part is not None for part in rows):
            yield "has no rows in some of the files"
        return
    expected = [value for part in rows for value in part or ()]
    if len(expected) != len(own):
        yield f"has {len(own)} rows instead of {len(expected)}"
    for row, (old, new) in enumerate(zip(expected, own, strict=False)):
        if not _same(old, new):
            yield f"row {row} was {old!r}, is {new!r}"[:300]
            return


def _flat(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a feature, those of `info` one by one; both of its names are one."""
    for name, value in entry.items():
        if name in ("info", "video_info") and isinstance(value, dict):
            yield from ((f"info.{key}", inner) for key, inner in value.items())
        elif name == "names" and isinstance(value, dict) and len(value) == 1:
            yield name, next(iter(value.values()))  # {"motors": […]} of LeRobot's robots is the list
        else:
            yield name, value


def _same(old: Any, new: Any, slack: float = 0) -> bool:
    """Equal values, NaN too, or numbers that are hardly apart."""
    if isinstance(old, float) and isinstance(new, int | float):
        return abs(old - new) <= slack or (math.isnan(old) and math.isnan(new))
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(_same(*pair, slack) for pair in zip(old, new, strict=True))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key], slack) for key in old)
    return bool(old == new)
