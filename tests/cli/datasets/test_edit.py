"""`robotrove edit`: the values of the output, by pyarrow, json, numpy and PyAV alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.tests.support.command import Outcome
from robotrove.tests.support.datasets import tiny_v21, tiny_v30
from robotrove.tests.support.datasets.on_disk import OnDisk
from robotrove.tests.support.datasets.tiny_v30 import FPS, FRONT, TOP, WRIST

Command = Callable[..., Outcome]
HEAD, PICTURE = "observation.images.head", "picture"
# Episodes 0 to 4 have the rows 0 to 3, 4 to 6, 7 to 11, 12 and 13, 14 to 19.
KEPT = [range(0, 4), range(7, 12), range(14, 20)]
ROWS = [row for rows in KEPT for row in rows]


@pytest.fixture(params=["v3.0", "v2.1"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tiny_v30 if request.param == "v3.0" else tiny_v21).build(tmp_path / "tiny")
    return tmp_path / "tiny"


def table(root: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(root.glob("data/*/*.parquet"))])


def packets(root: Path, key: str) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted([*root.glob(f"videos/{key}/*/*.mp4"), *root.glob(f"videos/*/{key}/*.mp4")]):
        with av.open(str(path)) as container:
            found += [bytes(packet) for packet in container.demux(video=0) if packet.size]
    return found


def flat(root: Path, key: str) -> list[Any]:
    """The values of a column, a list of one value as that value: both versions of a dataset have the same."""
    values = table(root).column(key).to_pylist()
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def episode_stats(root: Path, episode: int) -> dict[str, dict[str, Any]]:
    if (root / "meta/episodes_stats.jsonl").exists():
        line: dict[str, Any] = json.loads((root / "meta/episodes_stats.jsonl").read_text().splitlines()[episode])
        return line["stats"]
    found: dict[str, dict[str, Any]] = {}
    for name, value in pq.read_table(root / "meta/episodes").to_pylist()[episode].items():
        if name.startswith("stats/"):
            _, key, statistic = name.split("/")
            found.setdefault(key, {})[statistic] = value
    return found


def test_every_change_at_once(robotrove: Command, dataset: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(dataset.rglob("*")) if path.is_file()}
    changes = ["--drop", "1,3-3", "--task", "2=put it down", "--robot-type", "so100"]
    changes += ["--rename-feature", f"{FRONT}={HEAD}", "--rename-feature", "observation.state=state"]
    changes += ["--rename-feature", f"{TOP}={PICTURE}", "--drop-feature", "grid", "--drop-feature", WRIST]
    done = robotrove("edit", dataset, "-o", tmp_path / "out", *changes, "--workers", 1)
    assert done.code == 0, done.err
    assert done.out.splitlines()[1:3] == [
        "  listed 5 = kept 3 + rejected 2",
        "    2 not_selected: not among the selected episodes",
    ]
    assert {path: path.read_bytes() for path in sorted(dataset.rglob("*")) if path.is_file()} == before

    out, values = tmp_path / "out", tiny_v30.columns()
    info = json.loads((out / "meta/info.json").read_text())
    before_info = json.loads((dataset / "meta/info.json").read_text())
    assert (info["codebase_version"], info["robot_type"], info["total_episodes"], info["total_frames"]) == (
        before_info["codebase_version"],
        "so100",
        3,
        15,
    )
    assert list(info["features"])[:5] == ["state", "gripper_open", "note", PICTURE, HEAD]
    assert info["features"]["state"] == {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"]}

    assert np.array_equal(np.array(flat(out, "state"), np.float32), values["observation.state"][ROWS])
    assert flat(out, "gripper_open") == values["gripper_open"][ROWS].tolist()
    assert flat(out, "note") == [f"n{row}" for row in ROWS]
    assert [cell["bytes"] for cell in flat(out, PICTURE)] == [tiny_v30.png(tiny_v30.picture(row, 6, 8)) for row in ROWS]
    assert set(table(out).column_names) == {
        *("state", "gripper_open", "note", PICTURE),
        *("timestamp", "frame_index", "episode_index", "index", "task_index"),
    }
    frames = [frame for rows in KEPT for frame in range(len(rows))]
    assert flat(out, "frame_index") == frames
    assert flat(out, "timestamp") == [np.float32(frame / FPS) for frame in frames]
    assert flat(out, "episode_index") == [0] * 4 + [1] * 5 + [2] * 6
    assert flat(out, "index") == list(range(15))
    assert flat(out, "task_index") == [0] * 4 + [1] * 5 + [0] * 6
    assert OnDisk(out).tasks == ["stack the cubes", "put it down"]
    assert [row["tasks"] for row in OnDisk(out).meta] == [["stack the cubes"], ["put it down"], ["stack the cubes"]]

    was = packets(dataset, FRONT)
    assert packets(out, HEAD) == [was[row] for row in ROWS]
    assert not packets(out, WRIST)
    assert not packets(out, FRONT)
    stats = episode_stats(out, 1)
    assert np.allclose(stats["state"]["mean"], values["observation.state"][7:12].mean(0))
    pixels = np.concatenate([tiny_v30.picture(row, 32, 48).reshape(-1, 3) for row in range(7, 12)]) / 255
    assert np.allclose(np.ravel(stats[HEAD]["mean"]), pixels.mean(0))
    assert not {"grid", WRIST, FRONT, "observation.state"} & stats.keys()
    origins = OnDisk(out).origins
    assert [origin["input_datasets"] for origin in origins] == [
        [{"dataset": "tiny", "episode": episode}] for episode in (0, 2, 4)
    ]


def test_keep_and_one_task_for_all(robotrove: Command, dataset: Path, tmp_path: Path) -> None:
    done = robotrove("edit", dataset, "-o", tmp_path / "out", "--keep", "3,1-2", "--task", "a = b", "--workers", 1)
    assert done.code == 0, done.err
    rows = [*range(4, 7), *range(7, 12), *range(12, 14)]
    assert flat(tmp_path / "out", "note") == [f"n{row}" for row in rows]
    assert OnDisk(tmp_path / "out").tasks == ["a = b"]
    assert flat(tmp_path / "out", "task_index") == [0] * 10


def test_the_last_task_decides(robotrove: Command, dataset: Path, tmp_path: Path) -> None:
    tasks = ["--task", "all of them", "--task", "1=one", "--task", "all=every one", "--task", "0,4=ends"]
    done = robotrove("edit", dataset, "-o", tmp_path / "out", *tasks, "--workers", 1)
    assert done.code == 0, done.err
    found = [row["tasks"] for row in OnDisk(tmp_path / "out").meta]
    assert found == [["ends"], ["every one"], ["every one"], ["every one"], ["ends"]]
    assert OnDisk(tmp_path / "out").tasks == ["ends", "every one"]


def test_a_finished_run_does_not_need_its_input(robotrove: Command, dataset: Path, tmp_path: Path) -> None:
    arguments = ("edit", dataset, "-o", tmp_path / "out", "--drop", "0", "--workers", 1)
    assert robotrove(*arguments).code == 0
    shutil.rmtree(dataset)
    again = robotrove(*arguments)
    assert again.code == 0, again.err
    assert "listed 5 = kept 4 + rejected 1" in again.out


def test_a_pipeline_is_planned_and_run(robotrove: Command, tmp_path: Path) -> None:
    tiny_v30.build(tmp_path / "tiny")
    edit = {"drop": [0, "3-4"], "tasks": {"1-2": "pull the drawer"}}
    blocks: list[Any] = [{"aggregator": {"datasets": [str(tmp_path / "tiny")], "edit": edit}}, "dataset_stats"]
    path = tmp_path / "edit.yaml"
    path.write_text(yaml.safe_dump({"dataset": blocks, "output": str(tmp_path / "out")}))
    planned = robotrove("plan", path)
    assert planned.code == 0, planned.err
    assert planned.out.splitlines()[:5] == [
        "5 episodes of 1 dataset, 2 kept, 3 not_selected",
        f"  {tmp_path / 'tiny'}: 5 episodes, 20 frames",
        "    episode 0: dropped by the edit",
        "    episodes 3 to 4: dropped by the edit",
        "8 frames at 10 fps",
    ]
    assert robotrove("plan", path, "--json").json["rejected"] == {"not_selected": 3}
    assert robotrove("run", path, "--workers", 1).code == 0
    assert flat(tmp_path / "out", "note") == [f"n{row}" for row in range(4, 12)]
    assert OnDisk(tmp_path / "out").tasks == ["pull the drawer"]
    rejected = [json.loads(line) for line in (tmp_path / "out.run/rejected.jsonl").read_text().splitlines()]
    assert [(line["key"], line["reason"], line["error"]) for line in rejected] == [
        (f"episode {episode}", "not_selected", False) for episode in (0, 3, 4)
    ]
    assert robotrove("status", tmp_path / "out.run", "--json").json["rejected"] == {"not_selected": 3}

    both = {"dataset": [*blocks, {"downgrader": {"datasets": [str(tmp_path / "tiny")]}}]}
    path.write_text(yaml.safe_dump(both))
    refused = robotrove("plan", path)
    assert refused.code == 2
    assert "found other changes than dataset[0].edit" in refused.err


def test_names_may_be_swapped(robotrove: Command, dataset: Path, tmp_path: Path) -> None:
    names = ["--rename-feature", f"{FRONT}={WRIST}", "--rename-feature", f"{WRIST}={FRONT}"]
    names += ["--rename-feature", "observation.state=grid", "--rename-feature", "grid=observation.state"]
    done = robotrove("edit", dataset, "-o", tmp_path / "out", *names, "--workers", 1)
    assert done.code == 0, done.err
    out, values = tmp_path / "out", tiny_v30.columns()
    assert np.array_equal(np.array(flat(out, "grid"), np.float32), values["observation.state"])
    assert np.array_equal(np.array(flat(out, "observation.state")), values["grid"])
    features = json.loads((out / "meta/info.json").read_text())["features"]
    assert (features["grid"]["shape"], features["grid"]["names"]) == ([3], ["x", "y", "z"])
    assert features["observation.state"]["shape"] == [2, 3]
    assert packets(out, WRIST) == packets(dataset, FRONT)
    assert packets(out, FRONT) == packets(dataset, WRIST)
    assert features[FRONT]["info"]["video.height"] == 32  # which only the wrist camera says
    assert np.allclose(episode_stats(out, 0)["grid"]["min"], values["observation.state"][:4].min(0))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["--drop", "1,9"], "has no episode 9"),
        (["--drop", "0-4"], "drops all 5 episodes"),
        (["--keep", "0-9"], "keeps all 5 episodes"),
        (["--drop", "1", "--keep", "2"], "both drop and keep are given"),
        (["--drop", "x"], "'x' is neither a number nor a range"),
        (["--drop", "0-99999999999999999999"], "'0-99999999999999999999' is neither a number nor a range"),
        (["--keep", "0,5-999999999"], "has no episode 5 to 999999999"),
        (["--task", "7=pick"], "has no episode 7"),
        (
            ["--drop", "1-3", "--task", "0-1=pick", "--task", "2-3=place"],
            "episode 2 to 3 has a new task, but is dropped",
        ),
        (["--task", "1= "], "its task is empty"),
        (["--rename-feature", "gird=g"], "gird: is not a feature (did you mean 'grid'?)"),
        (["--rename-feature", "grid=note"], "two features would be note"),
        (["--rename-feature", "grid=index"], "two features would be index"),
        (["--rename-feature", "grid=a/b"], "its name cannot be that of a folder"),
        (["--rename-feature", "grid=task"], "task: is the name of the instruction"),
        (["--rename-feature", "grid=grid"], "grid: is its name now"),
        (["--rename-feature", "grid=a", "--rename-feature", "grid=b"], "'grid' has two new names, 'a' and 'b'"),
        (["--drop-feature", "timestamp"], "is in every dataset"),
        ([], "no change is given"),
    ],
)
def test_refused_before_anything_is_written(
    robotrove: Command, dataset: Path, tmp_path: Path, changes: list[str], told: str
) -> None:
    done = robotrove("edit", dataset, "-o", tmp_path / "out", *changes, "--workers", 1)
    assert done.code == 2
    assert told in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "out.run") == ["tiny"]
