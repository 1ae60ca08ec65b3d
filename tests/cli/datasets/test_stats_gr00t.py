"""`robotrove stats --robot|--modality`: GR00T's files into an existing dataset, and nothing else changes."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.command import Outcome
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

MODALITY, STATS, SUMS = "meta/modality.json", "meta/stats.json", "meta/robotrove/checksums.jsonl"
# What the guides' converters write for an SO-101 (so100_dualcam of GR00T N1.5), with the column of each key.
SO101 = {
    section: {
        "single_arm": {"original_key": column, "start": 0, "end": 5},
        "gripper": {"original_key": column, "start": 5, "end": 6},
    }
    for section, column in (("state", "observation.state"), ("action", "action"))
} | {
    "video": {
        "front": {"original_key": "observation.images.front"},
        "wrist": {"original_key": "observation.images.wrist"},
    },
    "annotation": {"human.task_description": {"original_key": "task_index"}},
}
Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    files = write_sample("leisaac", folder, episodes=3, frames=26, height=48, width=64)
    run_shipped("leisaac_so101", files, folder / "dataset", "formats=[v2.1]")
    run_shipped("leisaac_so101", files, folder / "v30")
    return folder


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "dataset", tmp_path / "it's mine"))


def state(root: Path) -> dict[str, tuple[str, int]]:
    """Checksum and time of every file."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(root)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in paths
    }


def changed(before: dict[str, tuple[str, int]], root: Path) -> set[str]:
    after = state(root)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def modality(root: Path) -> Any:
    return json.loads((root / MODALITY).read_text())


def test_only_the_files_of_gr00t_change(robotrove: Command, dataset: Path) -> None:
    before = state(dataset)
    found = robotrove("stats", dataset, "--gr00t", "--robot", "so101")
    assert (found.code, found.err) == (0, "")
    assert f"written: {MODALITY}, {STATS}" in found.out.splitlines()
    assert changed(before, dataset) == {MODALITY, STATS, SUMS}
    assert modality(dataset) == SO101
    files = sorted(dataset.glob("data/*/*"))
    action = np.concatenate([np.stack(pq.read_table(path)["action"].to_numpy()) for path in files])
    stats = json.loads((dataset / STATS).read_text())["action"]
    np.testing.assert_array_equal(stats["max"], action.max(axis=0))
    np.testing.assert_allclose(stats["mean"], action.astype(np.float64).mean(axis=0), rtol=1e-12)

    before = state(dataset)
    (dataset / MODALITY).unlink()
    assert robotrove("stats", dataset, "--robot", "so101").code == 0, "--gr00t goes without saying"
    assert changed(before, dataset) == {MODALITY}, "nothing but that file: the list knows it"
    before = state(dataset)
    assert "nothing to do" in robotrove("stats", dataset, "--robot", "so101").out
    assert changed(before, dataset) == set()
    for consumer in ("gr00t-n1.6", "gr00t-n1.7"):
        assert robotrove("verify", dataset, "--for", consumer).code == 0
    (dataset / STATS).unlink()
    for options, verb in ((["--check"], "missing"), ([], "added")):
        line = f"action (GR00T): 6 values {verb} (mean, std, min, max, q01, q99)"
        assert line in robotrove("stats", dataset, "--robot", "so101", *options).out.splitlines()


def test_statistics_as_gr00t_itself_writes_them_stay(robotrove: Command, dataset: Path) -> None:
    """Its sums are of float32; and LeRobot's statistics may be missing, as in Arena's datasets."""
    robotrove("stats", dataset, "--gr00t")
    content = json.loads((dataset / STATS).read_text())
    for entry in content.values():
        entry.update({name: np.float32(values).astype(float).tolist() for name, values in entry.items()})
    (dataset / STATS).write_text(json.dumps(content))
    (dataset / "meta/episodes_stats.jsonl").unlink()
    before = state(dataset)
    assert robotrove("stats", dataset, "--robot", "so101").code == 0
    assert changed(before, dataset) == {MODALITY, SUMS}


@pytest.mark.parametrize("asked", ["robot", "modality"])
def test_one_written_by_hand_is_never_replaced_without_a_word(
    robotrove: Command, dataset: Path, tmp_path: Path, asked: str
) -> None:
    own = tmp_path / "so101.json"
    own.write_text(json.dumps(SO101))
    options = ["--robot", "so101"] if asked == "robot" else ["--modality", own]
    robotrove("stats", dataset, *options)
    hand = modality(dataset)
    del hand["video"]["wrist"]
    hand["action"]["gripper"]["absolute"] = False
    hand["annotation"] = {"human.goal": {"original_key": "task_index"}}
    (dataset / MODALITY).write_text(json.dumps(hand))
    before = state(dataset)
    refused = robotrove("stats", dataset, *options)
    assert refused.code == 2
    assert changed(before, dataset) == set()
    lines = refused.err.splitlines()
    source = "robot so101" if asked == "robot" else own
    assert lines[0] == f"error: {dataset / MODALITY}: differs from what {source} gives"
    assert [line.strip().split(" ")[:2] for line in lines[1:5]] == [
        ["action.gripper", "is"],
        ["video.wrist", "is"],
        ["annotation.human.task_description", "is"],
        ["annotation.human.goal", "is"],
    ]
    assert "--replace" in lines[-1]
    checked = robotrove("stats", dataset, "--check", *options)
    assert (checked.code, changed(before, dataset)) == (1, set())
    assert "4 values differ" in checked.out
    assert checked.out.splitlines()[-1].endswith(" --replace")
    assert robotrove("stats", dataset, *options, "--replace").out.count(f"written: {MODALITY}\n") == 1
    assert changed(before, dataset) == {MODALITY}
    assert modality(dataset) == SO101


def test_an_equal_one_keeps_its_form_and_keys_in_another_order_are_a_difference(
    robotrove: Command, dataset: Path
) -> None:
    robotrove("stats", dataset, "--robot", "so101")
    (dataset / MODALITY).write_text(json.dumps(SO101))
    before = state(dataset)
    assert robotrove("stats", dataset, "--robot", "so101").code == 0
    assert changed(before, dataset) == set()
    (dataset / MODALITY).write_text(json.dumps(SO101 | {"state": dict(reversed(SO101["state"].items()))}))
    refused = robotrove("stats", dataset, "--robot", "so101")
    assert "state has the order gripper, single_arm instead of single_arm, gripper" in refused.err


def test_one_that_cannot_be_read(robotrove: Command, dataset: Path) -> None:
    robotrove("stats", dataset, "--robot", "so101")
    (dataset / MODALITY).write_text("{")
    refused = robotrove("stats", dataset, "--robot", "so101")
    assert (refused.code, "cannot be read as JSON: " in refused.err) == (2, True)
    assert robotrove("stats", dataset, "--robot", "so101", "--replace").code == 0
    assert modality(dataset) == SO101


def test_a_check_writes_nothing(robotrove: Command, dataset: Path) -> None:
    before = state(dataset)
    found = robotrove("stats", dataset, "--check", "--robot", "so101")
    assert found.code == 1
    assert f"{MODALITY}: does not exist" in found.out.splitlines()
    fix = shlex.split(found.out.splitlines()[-1])
    assert fix == ["fix:", "robotrove", "stats", str(dataset), "--robot", "so101"]
    assert changed(before, dataset) == set()
    document = robotrove("stats", dataset, "--check", "--robot", "so101", "--json").json
    assert (document["ok"], document["modality"]) == (False, ["does not exist"])
    robotrove("stats", dataset, "--robot", "so101")
    found = robotrove("stats", dataset, "--check", "--robot", "so101")
    assert (found.code, "no differences" in found.out) == (0, True)


def test_relative_statistics_are_those_of_the_new_keys(robotrove: Command, dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "relative.yaml"
    config.write_text("{action_horizon: 4, actions: {single_arm: {rep: RELATIVE}, gripper: {rep: ABSOLUTE}}}")
    found = robotrove("stats", dataset, "--robot", "so101", "--relative", config)
    assert f"written: {MODALITY}, {STATS}, meta/relative_stats.json" in found.out.splitlines()
    samples = []
    for path in sorted(dataset.glob("data/*/*")):
        table = pq.read_table(path)
        action, seen = (np.stack(table[key].to_numpy())[:, :5] for key in ("action", "observation.state"))
        samples += [action[at : at + 4] - seen[at] for at in range(len(action) - 3)]
    relative = json.loads((dataset / "meta/relative_stats.json").read_text())
    np.testing.assert_allclose(relative["single_arm"]["max"], np.max(samples, axis=0), rtol=1e-6)


def test_usage(robotrove: Command, made: Path, dataset: Path, tmp_path: Path) -> None:
    before = state(dataset)
    (tmp_path / "bad.json").write_text(json.dumps(SO101 | {"action": {"arm": {"start": 0, "end": 9}}}))
    for options, words in (
        (["--robot", "so101", "--modality", "x.json"], "robot and modality: found both"),
        (["--replace"], "robot and modality: found nothing (null) for both"),
        (["--robot", "so101", "--cameras"], "--cameras: is for LeRobot's statistics"),
        (["--robot", "so10"], "did you mean 'so101'?"),
        (["--robot", "gr1"], "names no joint of robot gr1"),
        (["--modality", tmp_path / "bad.json"], "bad.json: action.arm: start is 0 and end is 9, not a part of the 6"),
    ):
        found = robotrove("stats", dataset, *options)
        assert (found.code, words in found.err) == (2, True), found.err
    assert changed(before, dataset) == set()
    found = robotrove("stats", made / "v30", "--robot", "so101")
    assert found.code == 2
    assert f"to do: robotrove convert {made / 'v30'} --to v2.1 --gr00t ROBOT" in found.err
