from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.pipeline import Pipeline
from robotrove.verification.consumers import chosen
from robotrove.verification.dataset.runner import verify

from ...support.datasets.consumer_cases import RELEASES, float32_times
from .conftest import FRONT, INFO, MODALITY, NOTE, TASKS, WRIST, Copy

LIBERO_FRANKA: dict[str, Any] = {
    "state": {
        key: {"original_key": "observation.state", "start": at, "end": at + 1}
        for at, key in enumerate(("x", "y", "z", "roll", "pitch", "yaw"))
    }
    | {"gripper": {"original_key": "observation.state", "start": 5, "end": 7}},
    "action": {
        key: {"original_key": "action", "start": at, "end": at + 1}
        for at, key in enumerate(("x", "y", "z", "roll", "pitch", "yaw", "gripper"))
    },
    "video": {"image": {"original_key": FRONT}, "wrist_image": {"original_key": WRIST}},
    "annotation": {"human.action.task_description": {"original_key": NOTE}},
}
WIDOWX: dict[str, Any] = {
    section: {"left_arm": {"original_key": column, "start": 0, "end": 7}}
    for section, column in (("state", "observation.state"), ("action", "action"))
} | {"video": {"ego_view": {"original_key": FRONT}}, "annotation": LIBERO_FRANKA["annotation"]}


@pytest.fixture(scope="session")
def written_v30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v30")
    files = write_sample("isaaclab", folder, episodes=1, frames=4, height=48, width=48)
    source = Hdf5Reader(files=[str(file) for file in files], layout="isaaclab", task="stack")
    Pipeline(source=source, writer=ShardWriter()).run(output=folder / "dataset", workers=1)
    return folder / "dataset"


@pytest.fixture
def copy_v30(written_v30: Path, tmp_path: Path) -> Copy:
    shutil.copytree(written_v30, tmp_path / "dataset")
    return Copy(tmp_path / "dataset")


@pytest.mark.parametrize("consumer", [*RELEASES, "rlinf", "openpi"])
def test_a_version_that_it_does_not_read(copy_v30: Copy, consumer: str) -> None:
    [(severity, where, message)] = copy_v30.found(consumer)
    assert (severity, where) == ("error", INFO)
    command = f"`robotrove convert {copy_v30.root} --to v2.1 -o {copy_v30.root}_v21"
    assert message.endswith(command + ("`" if consumer == "openpi" else " --gr00t ROBOT`"))
    assert "codebase_version is v3.0, but " in message


def drop(*names: str) -> Callable[[Any], Any]:
    return lambda info: [info["features"].pop(name) for name in names]


def rename(**names: str) -> Callable[[Any], Any]:
    """New names of features, the old ones by their last part."""

    def change(info: Any) -> None:
        old = {key.rpartition(".")[2]: key for key in info["features"]}
        for name, new in names.items():
            info["features"][new.replace("__", ".")] = info["features"].pop(old[name])

    return change


@pytest.mark.parametrize(
    ("change", "expected", "message"),
    [
        (drop(), [], ""),
        (drop("action"), ["error"], "has no feature action"),
        (drop(FRONT, WRIST, "observation.state"), ["error"], "a policy has no input"),
        (drop("observation.state"), ["warning"], "diffusion, pi0 and SmolVLA fail"),
        (drop(FRONT, WRIST), ["warning"], "ACT and diffusion refuse it"),
        (
            lambda info: [drop(FRONT, WRIST)(info), rename(state="observation.environment_state")(info)],
            ["warning"],
            "has no feature observation.state",
        ),
    ],
)
def test_what_policies_of_lerobot_need(copy_v30: Copy, change: Any, expected: list[str], message: str) -> None:
    copy_v30.json(INFO, change)
    found = copy_v30.found("lerobot")
    assert [severity for severity, _, _ in found] == expected
    assert all(message in told for _, _, told in found)


def test_newer_releases_of_lerobot_refuse_v21(copy: Copy) -> None:
    [(severity, _, message)] = copy.found("lerobot")
    assert severity == "warning"
    assert message.endswith(f"refuse it; `robotrove convert {copy.root} --to v3.0 -o {copy.root}_v30`")


@pytest.mark.parametrize("content", [LIBERO_FRANKA, WIDOWX])
def test_a_data_configuration_of_rlinf(copy: Copy, content: dict[str, Any]) -> None:
    copy.json(MODALITY, lambda found: (found.clear(), found.update(content)))
    assert copy.found("rlinf") == []


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (lambda found: found["video"].pop("wrist_image"), MODALITY, "has no video.wrist_image, which RLinf's data"),
        (
            lambda found: found["state"]["gripper"].update(end=6),
            f"{MODALITY}, state.gripper",
            "has 1 values, but libero_franka (isaaclab_franka) has 2",
        ),
        (
            lambda found: found["annotation"].update({"human.task": found["annotation"].popitem()[1]}),
            MODALITY,
            "has no annotation.human.action.task_description",
        ),
    ],
)
def test_what_rlinf_does_not_find(copy: Copy, change: Any, where: str, message: str) -> None:
    copy.json(MODALITY, lambda found: (found.clear(), found.update(deepcopy(LIBERO_FRANKA)), change(found)))
    [(severity, place, told)] = copy.found("rlinf")
    assert (severity, place) == ("error", where)
    assert message in told


def test_rlinf_runs_n1_5(copy: Copy) -> None:
    copy.json(MODALITY, lambda found: (found.clear(), found.update(WIDOWX)))
    float32_times(copy)
    [(severity, _, message)] = copy.found("rlinf")
    assert severity == "error"
    assert "with torchcodec GR00T N1.5 takes the frame before" in message


def test_columns_as_rlinf_records_them_need_their_names(copy: Copy) -> None:
    """Its own recordings have `state` and `actions`, which GR00T only finds by original_key."""
    copy.json(INFO, rename(state="state", action="actions"))
    copy.json(
        MODALITY,
        lambda found: [entry.pop("original_key") for key in ("state", "action") for entry in found[key].values()],
    )
    told = [message for _, where, message in copy.found("rlinf") if where == f"{MODALITY}, state.arm"]
    assert told == [
        "has no original_key, so GR00T N1.5 reads 'observation.state', which is missing in info.json; "
        'write "original_key": "state"'
    ]
    told = [message for _, where, message in copy.found("rlinf") if where == f"{MODALITY}, action.arm"]
    assert told[0].endswith('write "original_key": "actions"')


def widen(*names: str, width: int) -> Callable[[Any], Any]:
    return lambda info: [info["features"][name].update(shape=[width], names=None) for name in names]


def both(*changes: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda info: [change(info) for change in changes]


LIBERO = rename(front="image", wrist="wrist_image", state="state", action="actions")
ALOHA = both(rename(front="observation__images__top"), widen("observation.state", "action", width=14))
DROID = both(
    rename(
        front="exterior_image_1_left",
        wrist="wrist_image_left",
        state="joint_position",
        action="actions",
    ),
    lambda info: info["features"].update(
        exterior_image_2_left=info["features"]["wrist_image_left"], gripper_position=info["features"]["joint_position"]
    ),
)


@pytest.mark.parametrize("change", [LIBERO, ALOHA, DROID])
def test_columns_that_a_configuration_of_openpi_finds(copy: Copy, change: Any) -> None:
    copy.json(INFO, change)
    assert copy.found("openpi") == []


@pytest.mark.parametrize(
    ("change", "severity", "where", "message"),
    [
        (
            drop(),
            "warning",
            INFO,
            f'RepackTransform({{"observation/image": "{FRONT}", "observation/wrist_image": "{WRIST}", '
            '"observation/state": "observation.state", "actions": "action", "prompt": "prompt"}) and '
            "base_config=DataConfig(prompt_from_task=True, action_sequence_keys=('action',))",
        ),
        (drop("action"), "error", INFO, "the dataset lacks a state, an action and a camera"),
        (both(LIBERO, widen("state", width=33)), "error", f"{INFO}, feature state", "take at most 32 values"),
        (
            both(ALOHA, widen("action", width=7)),
            "error",
            f"{INFO}, feature action",
            "is float32[7] instead of 14 values, which LeRobotAlohaDataConfig has",
        ),
    ],
)
def test_what_openpi_has_to_be_told(copy: Copy, change: Any, severity: str, where: str, message: str) -> None:
    copy.json(INFO, change)
    [(found, place, told)] = copy.found("openpi")
    assert (found, place) == (severity, where)
    assert message in told


def test_a_prompt_that_says_nothing(copy: Copy) -> None:
    copy.json(INFO, LIBERO)
    (copy.root / TASKS).write_text('{"task_index": 0, "task": " "}\n')
    assert [(severity, where) for severity, where, _ in copy.found("openpi")] == [("warning", f"{TASKS}, task 0")]


def test_the_ordinary_checks_of_the_version_run_too(copy: Copy) -> None:
    copy.json(INFO, lambda info: info.update(total_frames=1))
    report = verify(copy.root, consumers=chosen(["openpi"]))
    assert [one.check for one in report.findings if one.severity == "error"] == ["counts"]
