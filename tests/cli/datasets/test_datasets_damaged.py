"""Damaged datasets in every command that reads one: a message with the file and what to do, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.tests.support.command import Outcome
from robotrove.tests.support.datasets import tiny_v30
from robotrove.tests.support.datasets.numbered import aggregate, convert, digests, quickly
from robotrove.tests.support.datasets.tiny_v30 import FRONT

pytestmark = pytest.mark.slow

Change = Callable[[Path], object]
INFO, STATE = "meta/info.json", "observation.state"
# Of each version: a file of rows, of a camera, of episodes and of tasks.
FILES = {
    "v3.0": (
        "data/chunk-000/file-000.parquet",
        f"videos/{FRONT}/chunk-000/file-000.mp4",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/tasks.parquet",
    ),
    "v2.1": (
        "data/chunk-000/episode_000003.parquet",
        f"videos/chunk-000/{FRONT}/episode_000003.mp4",
        "meta/episodes.jsonl",
        "meta/tasks.jsonl",
    ),
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_info(root: Path, **changes: Any) -> None:
    content = json.loads((root / INFO).read_text())
    (root / INFO).write_text(json.dumps(content | changes))


def with_nan(path: Path) -> None:
    table = pq.read_table(path)
    values = np.array(table[STATE].to_pylist(), np.float32)
    values[1, 2] = np.nan
    at, field = table.column_names.index(STATE), table.schema.field(STATE)
    pq.write_table(table.set_column(at, field, pa.array(values.tolist(), field.type)), path)


def damages(version: str) -> dict[str, tuple[Change, str]]:
    """Name of a damage to what does it, and what a message must name."""
    data, video, episodes, tasks = FILES[version]
    return {
        "no data folder": (lambda root: shutil.rmtree(root / "data"), "data"),
        "no videos folder": (lambda root: shutil.rmtree(root / "videos"), "videos/"),
        "no info.json": (lambda root: (root / INFO).unlink(), INFO),
        "no episodes": (lambda root: (root / episodes).unlink(), "meta/episodes"),
        "no tasks": (lambda root: (root / tasks).unlink(), tasks),
        "rows cut off": (lambda root: cut(root / data), data),
        "video cut off": (lambda root: cut(root / video), video),
        "episodes cut off": (lambda root: cut(root / episodes), episodes),
        "info.json cut off": (lambda root: cut(root / INFO), INFO),
        "NaN in the rows": (lambda root: with_nan(root / data), STATE),
        "empty rows": (lambda root: (root / data).write_bytes(b""), data),
        "empty video": (lambda root: (root / video).write_bytes(b""), video),
        "empty info.json": (lambda root: (root / INFO).write_bytes(b""), INFO),
        "empty tasks": (lambda root: (root / tasks).write_bytes(b""), "meta/"),
        "info.json is a list": (lambda root: (root / INFO).write_text("[1]"), INFO),
        "features is a list": (lambda root: of_info(root, features=[1, 2]), INFO),
        "fps is a text": (lambda root: of_info(root, fps="fast"), INFO),
        "total_frames is a text": (lambda root: of_info(root, total_frames="all"), INFO),
        "data_path is a number": (lambda root: of_info(root, data_path=7), INFO),
        "video_path is null": (lambda root: of_info(root, video_path=None), INFO),
    }


COMMANDS: dict[str, tuple[object, ...]] = {
    "verify": ("verify", "in"),
    "verify --deep": ("verify", "in", "--deep", "--for", "lerobot"),
    "stats --check": ("stats", "in", "--check"),
    "stats": ("stats", "in"),
    "aggregate": ("aggregate", "in", "-o", "out", "--workers", 1),
    "convert": ("convert", "in", "--to", "", "-o", "out", "--workers", 1),
    "trace": ("trace", "in", 3),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A dataset of robotrove of each version."""
    folder = tmp_path_factory.mktemp("sound")
    tiny_v30.build(folder / "tiny")
    with quickly():
        aggregate([folder / "tiny"], folder / "v3.0")
        convert(folder / "v3.0", "v2.1", folder / "v2.1")
    return {version: folder / version for version in FILES}


@pytest.mark.parametrize("version", FILES)
@pytest.mark.parametrize("name", damages("v3.0"))
def test_damage(
    sound: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    robotrove: Callable[..., Outcome],
    version: str,
    name: str,
) -> None:
    change, named = damages(version)[name]
    wrong = []
    for command, given in COMMANDS.items():
        folder = tmp_path / command.replace(" ", "")
        shutil.copytree(sound[version], folder / "in")
        change(folder / "in")
        monkeypatch.chdir(folder)
        before = digests(folder)
        other = {"v3.0": "v2.1", "v2.1": "v3.0"}[version]
        done = robotrove(*(other if part == "" else part for part in given))
        wrong += [f"{command}: {problem}\n{done.out}{done.err}" for problem in problems(done, command, name, named)]
        if done.code == 2 and digests(folder) != before:
            wrong.append(f"{command}: something was written")
    assert wrong == []


def problems(done: Outcome, command: str, name: str, named: str) -> list[str]:
    """Return what a command may not do."""
    said, found = done.out + done.err, []
    if done.code not in (0, 1, 2) or "Traceback" in said:
        found.append(f"exit code {done.code}, or a traceback")
    if done.code == 0 and not is_harmless(command, name):
        found.append("exit code 0")
    if command != "trace" and not (done.code == 0 and command.startswith("stats")):
        found += ["the file is not named"] * (named not in said)
    # verify and stats --check are what others say to do.
    if done.code and not command.startswith(("verify", "stats --check")) and "to do: " not in said:
        found.append("it does not say what to do")
    return found


def is_harmless(command: str, name: str) -> bool:
    """Return True where a command need not see a damage: trace reads where episodes come from, stats no videos."""
    return command == "trace" or (name == "NaN in the rows" and command in ("aggregate", "convert", "stats"))
