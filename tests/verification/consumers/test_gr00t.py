from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.verification.consumers import CONSUMERS, chosen
from robotrove.verification.consumers.gr00t_release import HorizonCheck, Release
from robotrove.verification.dataset.runner import verify

from ...support.datasets.consumer_cases import CASES, RELEASES, Case, early, float32_times
from ..dataset.test_runner import places
from .conftest import EPISODES, FPS, FRAMES, INFO, MODALITY, STATS, Copy

RELATIVE = "meta/relative_stats.json"
SEVERITIES = {"error": "E", "warning": "W"}
HORIZON = 4


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_each_release_makes_of_one_mistake(copy: Copy, case: Case) -> None:
    case.change(copy)
    for release, expected in zip(RELEASES, case.expected, strict=True):
        found = copy.found(release)
        assert [SEVERITIES[severity] for severity, _, _ in found] == ([] if expected == "." else [expected]), found
        for _, where, message in found:
            assert where.startswith(case.where), where
            assert case.told in message
            assert any(mend in message for mend in ("`", '; add "', "; write ")), message


@pytest.mark.parametrize("release", RELEASES)
def test_a_dataset_that_is_right(copy: Copy, release: str) -> None:
    assert copy.found(release) == []


def test_frames_that_come_too_early_are_counted(copy: Copy) -> None:
    float32_times(copy)
    count = early(FRAMES, FPS) * EPISODES
    [(_, where, message)] = copy.found("gr00t-n1.5")
    first = next(i for i in range(FRAMES) if float(np.float32(i / FPS)) < i / FPS)
    assert where == f"data/chunk-000/episode_000000.parquet, row {first}"
    assert message.startswith(f"{count} of {EPISODES * FRAMES} timestamps are before their frame, such as ")
    assert message.endswith("write times in float64 with `downgrader: {reference_exact: true}` in the pipeline")


def test_float64_is_only_advised_where_it_helps(copy: Copy) -> None:
    # 19 * (1 / 30) < 19 / 30 in float64, with which the reference converters write it; 1 / 20 has no such multiple.
    assert any(i * (1 / 30) < i / 30 for i in range(FRAMES))
    copy.json("meta/info.json", lambda info: info.update(fps=30))
    copy.column("timestamp", lambda frames: (frames / 30).astype(np.float32))
    [message] = [message for _, where, message in copy.found("gr00t-n1.5") if where.startswith("data")]
    assert message.endswith("at 30 fps times in float64 are early too")


# The horizon that a robot is trained with: DROID 32 in N1.6, 40 in N1.7 (oxe_droid, oxe_droid_relative_eef_… of GR00T's
# own configurations); G1 50 and 40 in Arena's; SO-101 16; 16 too where robot_type is that of no robot.
@pytest.mark.parametrize(
    ("robot", "release", "horizon"),
    [
        ("droid", "gr00t-n1.6", 32),
        ("droid", "gr00t-n1.7", 40),
        ("unitree_g1", "gr00t-n1.6", 50),
        ("unitree_g1", "gr00t-n1.7", 40),
        ("so101_follower", "gr00t-n1.6", 16),
        ("my_arm", "gr00t-n1.6", 16),
        (None, "gr00t-n1.7", 16),
    ],
)
def test_episodes_shorter_than_the_horizon_are_counted(
    copy: Copy, robot: str | None, release: str, horizon: int
) -> None:
    """An episode gives length - horizon + 1 samples, a shorter one none."""
    lengths = [horizon + 4, horizon - 1, horizon, 3]
    copy.json(INFO, lambda info: info.update(robot_type=robot, total_episodes=4, total_frames=sum(lengths)))
    lines = [{"episode_index": n, "tasks": ["x"], "length": length} for n, length in enumerate(lengths)]
    (copy.root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    [check] = [check for check in CONSUMERS[release].checks if check.name == "horizon"]
    dataset = open_dataset(copy.root)
    [found] = check.run(dataset, deep=False)
    assert (found.severity, found.where) == ("warning", "meta/episodes.jsonl")
    assert found.message.startswith(f"2 of 4 episodes are shorter than {horizon} frames, ")
    assert f"and 6 samples of the {sum(lengths)} frames in all; " in found.message
    assert f" --version {release.removeprefix('gr00t-')} --horizon 3`" in found.message


def test_all_episodes_too_short_or_none(copy: Copy) -> None:
    for release in RELEASES:
        assert [check.name for check in CONSUMERS[release].checks].count("horizon") == (release >= "gr00t-n1.6")
    check = HorizonCheck(Release.N1_6, FRAMES + 1)
    [found] = check.run(open_dataset(copy.root), deep=False)
    assert (found.severity, " 0 samples of the 48 frames" in found.message) == ("error", True)
    assert list(HorizonCheck(Release.N1_6, FRAMES).run(open_dataset(copy.root), deep=False)) == []


@pytest.mark.parametrize(
    ("robot", "release", "is_told"), [("gr1", "n1.6", 1), ("gr1", "n1.7", 0), ("droid", "n1.6", 0)]
)
def test_statistics_that_a_checkpoint_keeps(copy: Copy, robot: str, release: str, is_told: bool) -> None:
    copy.json(INFO, lambda info: info.update(robot_type=robot))
    report = verify(copy.root, consumers=chosen([f"gr00t-{release}"]))
    found = [one for one in report.findings if one.check == "checkpoint_stats"]
    assert [one.severity for one in found] == ["warning"] * is_told
    assert report.ok == (robot == "gr1"), "48 frames of 24 are too short for DROID's 32"
    for one in found:
        assert (
            "keeps the statistics of its checkpoint for tag gr1: it does not use stats.json and relative_st"
            in one.message
        )
        assert "--tag new_embodiment" in one.message
        assert "inferred" in one.message


def relative_stats(copy: Copy, horizon: int = HORIZON) -> dict[str, Any]:
    """What N1.6 computes of action.arm, with plain numpy."""
    samples = []
    for path in sorted((copy.root / "data").rglob("*.parquet")):
        table = pq.read_table(path)
        state, action = (np.array(table[key].to_pylist())[:, :6] for key in ("observation.state", "action"))
        samples += [action[i : i + horizon] - state[i] for i in range(len(action) - horizon + 1)]
    every = np.array(samples, np.float32)
    found = {name: getattr(every, name)(0).tolist() for name in ("max", "min", "mean", "std")}
    return {"arm": found | {f"q{q:02}": np.quantile(every, q / 100, 0).tolist() for q in (1, 99)}}


def spoil(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def spoiled(content: dict[str, Any]) -> dict[str, Any]:
        change(content)
        return content

    return spoiled


@pytest.mark.parametrize(
    ("change", "severity", "message"),
    [
        (spoil(lambda found: None), "", ""),
        (spoil(lambda found: found["arm"]["max"][2].__setitem__(1, 9.5)), "warning", "max[2, 1] is 9.5, but actions"),
        (spoil(lambda found: found["arm"].pop("q01")), "error", "is not max, min, q01, q99, mean, std of 6 values"),
        (spoil(lambda found: found.update(arm={key: [[0.0] * 7] for key in found["arm"]})), "error", "of 6 values for"),
        (spoil(lambda found: found.update(leg=found["arm"])), "warning", "is not an action of modality.json"),
        (
            lambda found: {"arm": {key: [[0.0] * 6] * (FRAMES + 1) for key in found["arm"]}},
            "warning",
            f"no episode has more than the {FRAMES + 1} frames",
        ),
        (lambda found: {"arm": {key: [[[0.0] * 4] * 4] * HORIZON for key in found["arm"]}}, "", ""),  # a pose
    ],
)
def test_relative_stats_that_are_stale(copy: Copy, change: Any, severity: str, message: str) -> None:
    (copy.root / RELATIVE).write_text(json.dumps(change(relative_stats(copy))))
    for release in ("gr00t-n1", "gr00t-n1.5"):
        assert copy.found(release) == []
    for release in ("gr00t-n1.6", "gr00t-n1.7"):
        assert [(told[0], message in told[2]) for told in copy.found(release)] == [(severity, True)] * bool(severity)


def test_the_general_check_gives_way_to_that_of_a_release(copy: Copy) -> None:
    copy.json(MODALITY, lambda content: content["action"]["arm"].update(end=9))
    copy.json(STATS, lambda content: content["action"].update(count=[48]))
    general = [one for one in verify(copy.root).findings if one.severity == "error"]
    assert [one.check for one in general] == ["gr00t", "gr00t"]
    report = verify(copy.root, consumers=chosen(["gr00t-n1.6"]))
    errors = [(one.consumer, one.check) for one in report.findings if one.severity == "error"]
    assert errors == [("gr00t-n1.6", "modality")]
    assert report.counts["errors"] == 1


def test_several_consumers_each_say_it(copy: Copy) -> None:
    (copy.root / MODALITY).unlink()
    report = verify(copy.root, consumers=chosen(["gr00t-n1.7", "gr00t-n1.6"]))
    errors = [(one.consumer, one.where) for one in report.findings if one.severity == "error"]
    assert errors == [("gr00t-n1.7", MODALITY), ("gr00t-n1.6", MODALITY)]


def test_nothing_is_raised_whatever_is_in_the_json_files(copy: Copy) -> None:
    (copy.root / RELATIVE).write_text(json.dumps(relative_stats(copy)))
    for path in (INFO, MODALITY, STATS, RELATIVE):
        original = (copy.root / path).read_text()
        for number, place in enumerate(random.Random(3).choices(places(json.loads(original)), k=16)):
            content = parent = json.loads(original)
            for key in place[:-1]:
                parent = parent[key]
            if place != ("codebase_version",):
                parent[place[-1]] = [None, "x", -1, [], {}, 1e300, [[]], True][number % 8]
            (copy.root / path).write_text(json.dumps(content))
            verify(copy.root, consumers=chosen(CONSUMERS))
        (copy.root / path).write_text(original)
