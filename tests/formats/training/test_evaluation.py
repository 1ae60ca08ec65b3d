"""evaluation.md and replay_action_config.yaml: what `handoff` says of a dataset of each robot.

Tags, horizons, keys and units are written down from the configurations of each release; texts from the converters.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.cli.datasets.handoff import command
from robotrove.core.errors import DatasetDamaged
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.recompute.dataset_recompute import recompute
from robotrove.formats.training.evaluation import evaluation_files
from robotrove.manifests.robot import load_robot
from robotrove.tests.support.pipelines.joint_spaces import G1_POLICY, GR1_POLICY
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

FRAMES, LONGER = 24, {"g1": 56, "droid": 40}
# Pipeline: its sample, the robot, height and width of a frame, and what makes a dataset for GR00T of it.
MADE: dict[str, tuple[str, str, tuple[int, int], list[str]]] = {
    "leisaac_so101": ("leisaac", "so101", (48, 64), []),
    "leisaac_bi_so101": ("leisaac_bi_so101", "bi_so101", (48, 64), []),
    "leisaac_lekiwi": ("leisaac_lekiwi", "lekiwi", (48, 64), []),
    "arena_gr1_ranch_bottle": ("arena_gr1", "gr1", (48, 64), []),
    "arena_g1_locomanip": ("arena_g1", "g1", (48, 64), []),
    "arena_droid": ("arena_droid", "droid", (48, 64), []),
    "evaltasks_nut_pouring": ("evaltasks", "gr1", (160, 256), []),
    "piper_bimanual": ("piper", "bi_piper", (48, 64), []),
    "aloha": ("aloha", "aloha", (48, 64), ["source.task=Fold the towel."]),
    "libero_gr00t": ("libero", "libero", (256, 256), []),
}
HAS_BLOCKS = ("arena", "evaltasks", "libero_gr00t")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a dataset of version 2.1 with modality.json, made once: `dataset` beside the recordings."""
    done: dict[str, Path] = {}

    def make(pipeline: str) -> Path:
        if pipeline not in done:
            sample, robot, (height, width), more = MADE[pipeline]
            folder = tmp_path_factory.mktemp(pipeline)
            # LeIsaac's last two are no successes. N1.6 takes no episode shorter than its horizon.
            episodes, frames = 4 if sample.startswith("leisaac") else 2, LONGER.get(robot, FRAMES)
            size = {"height": height, "width": width}
            files = write_sample(sample, folder, episodes=episodes, frames=frames, **size)
            if not pipeline.startswith(HAS_BLOCKS):
                blocks = f"dataset=[downgrader: {{reference_exact: true}}, gr00t_files: {{robot: {robot}}}]"
                more = [*more, blocks, "formats=[v2.1]"]
            run_shipped(pipeline, files, folder / "dataset", *more)
            done[pipeline] = folder / "dataset"
        return done[pipeline]

    return make


def handoff(dataset: Path, out: Path, *arguments: str) -> str:
    command.main([arguments[0], str(dataset), "-o", str(out), *arguments[1:]], standalone_mode=False)
    return (out / "evaluation.md").read_text(encoding="utf-8")


def blocks(text: str) -> dict[str, list[list[str]]]:
    """Return the rows of the blocks under each heading, cell by cell."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in text.splitlines():
        heading = line.lstrip("# ") if line.startswith("#") else heading
        if line.startswith("    "):
            found.setdefault(heading, []).append(re.split(r"  +", line.strip()))
    return found


def facts(text: str) -> dict[str, str]:
    return dict(row for row in blocks(text)["What inference must repeat"])  # type: ignore[misc]


ARM = ("shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos")
MOTOR, OPEN = "motor units -100 to 100", "motor units 0 to 100"


def so101(side: str = "", arm: str = "single_arm", gripper: str = "gripper") -> list[list[str]]:
    return [*([arm, side + name, MOTOR] for name in ARM), [gripper, f"{side}gripper.pos", OPEN]]


def groups(names: list[str], unit: str, **widths: int) -> list[list[str]]:
    keys = [key for key, width in widths.items() for _ in range(width)]
    return [[key, name, unit] for key, name in zip(keys, names, strict=True)]


BOTH_SO101 = so101("left_", "left_arm", "left_gripper") + so101("right_", "right_arm", "right_gripper")
BASE = [["base", "x.vel", "m/s"], ["base", "y.vel", "m/s"], ["base", "theta.vel", "rad/s"]]
GR1 = groups(GR1_POLICY, "rad", left_arm=7, right_arm=7, left_hand=6, right_hand=6)
G1 = groups(G1_POLICY, "rad", left_leg=6, right_leg=6, waist=3, left_arm=7, left_hand=7, right_arm=7, right_hand=7)
ARMS = [row for key in ("left_arm", "right_arm", "left_hand", "right_hand", "waist") for row in G1 if row[0] == key]
COMMANDS = [
    ["base_height_command", "base_height_cmd_0", "-"],
    *(["navigate_command", f"navigate_cmd_{n}", "-"] for n in range(3)),
]
DROID = [
    *(["joint_position", f"panda_joint{n}", "rad"] for n in range(1, 8)),
    ["gripper_position", "finger_joint", "rad"],
]
PIPER = [
    [f"{side}_{'arm' if n < 7 else 'gripper'}", f"{side}_joint_{n}.pos", "-"]
    for side in ("left", "right")
    for n in range(1, 8)
]
ORANGES = "Pick three oranges and put them into the plate, then reset the arm to rest state."
LETTERS = "Pick two letter e objects into the box, and reset the arm to rest state."
TRASH = "Pick up tissue trash from the floor and throw it into the trash bin."
BOTTLE = "Place the ranch dressing bottle on the top shelf of the fridge, and close the fridge door."
BOX = (
    "Pick up the brown box from the shelf, and place it into the blue bin on the table located at the right of "
    "the shelf."
)
TASK, ACTION_TASK = "human.task_description", "human.action.task_description"
# Pipeline: embodiment tag and horizon in N1.6, instruction, key of the instruction, rate, state, action, cameras.
N16: dict[str, tuple[str, int, str, str, int, list[list[str]], list[list[str]], list[str]]] = {
    "leisaac_so101": ("new_embodiment", 16, ORANGES, TASK, 30, so101(), so101(), ["front", "wrist"]),
    "leisaac_bi_so101": (
        "new_embodiment",
        16,
        LETTERS,
        TASK,
        30,
        BOTH_SO101,
        BOTH_SO101,
        ["left_wrist", "right_wrist", "top"],
    ),
    "leisaac_lekiwi": ("new_embodiment", 16, TRASH, TASK, 30, so101() + BASE, so101() + BASE, ["front", "wrist"]),
    "arena_gr1_ranch_bottle": ("gr1", 16, BOTTLE, ACTION_TASK, 50, GR1, GR1, ["ego_view"]),
    "arena_g1_locomanip": ("new_embodiment", 50, BOX, TASK, 50, ARMS, ARMS + COMMANDS, ["ego_view"]),
    "arena_droid": ("oxe_droid", 32, "Pick and Place", ACTION_TASK, 50, DROID, DROID, ["ego_view"]),
    "piper_bimanual": (
        "new_embodiment",
        16,
        "put the cup on the tray",
        TASK,
        30,
        PIPER,
        PIPER,
        ["left_wrist", "mid", "right_wrist"],
    ),
}


@pytest.mark.parametrize("pipeline", N16)
def test_what_a_policy_of_each_robot_gets(made: Callable[[str], Path], tmp_path: Path, pipeline: str) -> None:
    tag, horizon, text, language, rate, state, action, cameras = N16[pipeline]
    dataset, robot = made(pipeline), MADE[pipeline][1]
    sheet = handoff(dataset, tmp_path / "out", "gr00t", "--robot", robot, "--version", "n1.6")
    found, rows = facts(sheet), blocks(sheet)
    assert found["dataset"] == str(dataset)
    assert (found["robot"], found["rate"]) == (robot, f"{rate} rows a second")
    assert (found["embodiment tag"], found["horizon"]) == (tag, f"{horizon} actions")
    assert found["instruction key"] == f"annotation.{language}"
    assert rows["Instruction"][0] == [json.dumps(text)]
    assert "GR00T N1.6 lower-cases the text and drops punctuation" in sheet
    assert [row[:3] for row in rows["State"]] == state
    assert [row[:3] for row in rows["Action"]] == action
    assert rows["Cameras"] == [[key, f"observation.images.{key}", "48 x 64", "RGB"] for key in cameras]


@pytest.mark.parametrize(("version", "rule"), [("n1", False), ("n1.5", False), ("n1.6", True), ("n1.7", True)])
def test_capitals_and_the_names_of_keys_are_those_of_the_release(
    made: Callable[[str], Path], tmp_path: Path, version: str, rule: bool
) -> None:
    sheet = handoff(made("leisaac_so101"), tmp_path / "out", "gr00t", "--robot", "so101", "--version", version)
    release = f"GR00T {version.upper()}"
    assert (f"{release} lower-cases the text and drops punctuation; the words must be the same." in sheet) == rule
    assert (f"{release} takes the text as it is, with capitals and punctuation." in sheet) != rule
    rows = blocks(sheet)
    state, action, video = ("", "", "") if rule else ("state.", "action.", "video.")
    assert [row[0] for row in rows["State"]] == [*[f"{state}single_arm"] * 5, f"{state}gripper"]
    assert [row[0] for row in rows["Action"]] == [*[f"{action}single_arm"] * 5, f"{action}gripper"]
    assert [row[0] for row in rows["Cameras"]] == [f"{video}front", f"{video}wrist"]
    # SO-101 is learned relative in N1.6 and N1.7 only.
    assert ("relative actions" in facts(sheet)) == rule


def test_other_texts_of_guides_are_named(made: Callable[[str], Path], tmp_path: Path) -> None:
    """As the guides of LeIsaac and of Isaac Lab Arena have them: all differ from what their converters write."""
    arm = handoff(made("leisaac_so101"), tmp_path / "arm", "gr00t", "--robot", "so101", "--version", "n1.5")
    assert blocks(arm)["Instruction"] == [
        [json.dumps(ORANGES)],
        ["LeIsaac's guide to inference:", "Pick up the orange and place it on the plate"],
        ["LeIsaac's converter up to v0.3:", "Grab orange and place into plate"],
    ]
    bottle = handoff(made("arena_gr1_ranch_bottle"), tmp_path / "gr1", "gr00t", "--robot", "gr1", "--version", "n1.6")
    assert blocks(bottle)["Instruction"][1:] == [
        [
            "Isaac Lab Arena's evaluation, on purpose (zero-shot):",
            "Place the sauce bottle on the top shelf of the fridge, and close the fridge door.",
        ]
    ]
    box = handoff(made("arena_g1_locomanip"), tmp_path / "g1", "gr00t", "--robot", "g1", "--version", "n1.6")
    assert blocks(box)["Instruction"] == [[json.dumps(BOX)]]


def test_evaltasks_pads_its_frames_and_valid_is_no_instruction(made: Callable[[str], Path], tmp_path: Path) -> None:
    sheet = handoff(made("evaltasks_nut_pouring"), tmp_path / "out", "gr00t", "--robot", "gr1", "--version", "n1")
    rows = blocks(sheet)
    [[text]] = rows["Instruction"]
    assert json.loads(text).startswith("Pick up the beaker and tilt it to pour out 1 metallic nut")
    assert rows["Cameras"] == [["video.ego_view", "observation.images.ego_view", "256 x 256", "RGB"]]
    assert "Pad each frame to 256 x 256, with 48 black rows above and below." in sheet
    assert facts(sheet)["embodiment tag"] == "gr1"
    assert [row[:3] for row in rows["State"]] == [[f"state.{key}", name, unit] for key, name, unit in GR1]


@pytest.mark.parametrize(
    ("version", "tag", "more"), [("n1.5", "new_embodiment", ["--tag", "libero_franka"]), ("n1.6", "libero_panda", [])]
)
def test_libero_is_turned_and_its_gripper_has_another_sign(
    made: Callable[[str], Path], tmp_path: Path, version: str, tag: str, more: list[str]
) -> None:
    """RLinf reads N1.5's policy by a tag of its own."""
    given = ["gr00t", "--robot", "libero", "--version", version, *more]
    sheet = handoff(made("libero_gr00t"), tmp_path / "out", *given)
    found, rows = facts(sheet), blocks(sheet)
    assert (found["embodiment tag"], found["horizon"], found["rate"]) == (tag, "16 actions", "20 rows a second")
    assert found.get("RLinf", "").startswith("tag libero_franka; ") == bool(more)
    keys = ["x", "y", "z", "roll", "pitch", "yaw", "gripper", "gripper"]
    assert [row[0].removeprefix("state.") for row in rows["State"]] == keys
    assert [row[1] for row in rows["State"]] == [
        *("x", "y", "z", "axis_angle1", "axis_angle2", "axis_angle3", "gripper_left", "gripper_right")
    ]
    assert [row[2] for row in rows["State"]] == ["m", "m", "m", "rad", "rad", "rad", "m", "m"]
    assert [row[0].removeprefix("action.") for row in rows["Action"]] == keys[:7]
    assert rows["Action"][6][1:] == ["gripper", "-", "0 to 1"]
    assert [[row[0].removeprefix("video."), *row[1:]] for row in rows["Cameras"]] == [
        ["image", "observation.images.image", "256 x 256", "RGB"],
        ["wrist_image", "observation.images.wrist_image", "256 x 256", "RGB"],
    ]
    assert rows["Instruction"] == [['"open the top drawer of the cabinet"']]
    environment = sheet.partition("## Environment")[2]
    assert "rotated by 180 degrees (`frame[::-1, ::-1]`), in 256 x 256" in environment
    assert "The simulator takes 1 to close and -1 to open: the sign of 1 - 2 g." in environment


def test_another_simulator_of_rlinf_has_another_environment(made: Callable[[str], Path], tmp_path: Path) -> None:
    """isaaclab_stack_cube of RLinf takes the sign of the gripper, and turns no pictures."""
    given = ["gr00t", "--robot", "libero", "--version", "n1.5", "--tag", "isaaclab_franka"]
    assert "## Environment" not in handoff(made("libero_gr00t"), tmp_path / "out", *given)


@pytest.mark.parametrize("version", ["n1.5", "n1.6"])
def test_instructions_may_be_whole_numbers_in_a_float_column(
    made: Callable[[str], Path], tmp_path: Path, version: str
) -> None:
    root = Path(shutil.copytree(made("piper_bimanual"), tmp_path / "d"))
    key = "annotation.human.task_description"
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.append_column(key, pa.array([0.0] * len(table))).replace_schema_metadata(None), path)
    info, modality = (json.loads((root / "meta" / name).read_text()) for name in ("info.json", "modality.json"))
    info["features"][key] = {"dtype": "float64", "shape": [1], "names": None}
    modality["annotation"] = {"human.task_description": {"original_key": key}}
    for name, content in (("info.json", info), ("modality.json", modality)):
        (root / "meta" / name).write_text(json.dumps(content))
    recompute(root, gr00t=True)
    sheet = handoff(root, tmp_path / "out", "gr00t", "--version", version)
    assert blocks(sheet)["Instruction"] == [[json.dumps(open_dataset(root).tasks[0])]]


def test_ranges_are_those_of_the_rows(made: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = made("arena_droid")
    sheet = handoff(dataset, tmp_path / "out", "lerobot", "--policy", "act")
    with h5py.File(dataset.parent / "arena_droid.hdf5") as file:
        actions = np.concatenate([file[f"data/demo_{n}/processed_actions"][:-1] for n in range(2)])
    expected = [f"{low:.4g} to {high:.4g}" for low, high in zip(actions.min(0), actions.max(0), strict=True)]
    assert [row[3] for row in blocks(sheet)["Action"]] == expected
    assert expected[0] != expected[1]


def test_lerobots_keys_are_the_features(made: Callable[[str], Path], tmp_path: Path) -> None:
    sheet = handoff(made("aloha"), tmp_path / "out", "lerobot", "--policy", "act")
    rows = blocks(sheet)
    arm = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
    joints = [[f"{side}_{name}", "-" if name == "gripper" else "rad"] for side in ("left", "right") for name in arm]
    assert [row[1:3] for row in rows["Action"]] == joints
    assert [row[0] for row in rows["Action"]] == ["action"] * 14
    assert [row[0] for row in rows["State"]] == ["observation.state"] * 14 + ["observation.velocity"] * 14
    assert [row[1:3] for row in rows["State"][:14]] == joints
    assert {row[2] for row in rows["State"][14:]} == {"-"}, "no manifest has the units of velocities"
    assert rows["Cameras"] == [[f"observation.images.{key}"] * 2 + ["48 x 64", "RGB"] for key in ("front", "wrist")]
    assert rows["Instruction"] == [['"Fold the towel."']]
    assert "Give the text exactly." in sheet
    assert facts(sheet).keys() == {"dataset", "robot", "rate"}


@pytest.mark.parametrize(
    ("trainer", "title", "pipeline"),
    [("openpi", "openpi", "leisaac_so101"), ("rlinf", "RLinf", "libero_gr00t")],
)
def test_the_sheets_of_other_trainers(
    made: Callable[[str], Path], tmp_path: Path, trainer: str, title: str, pipeline: str
) -> None:
    sheet = handoff(made(pipeline), tmp_path / "out", trainer)
    rows = blocks(sheet)
    assert sheet.splitlines()[2].startswith(f"{title} learns from these values.")
    assert facts(sheet)["robot"] == MADE[pipeline][1]
    assert {row[0] for row in rows["State"]} == {"observation.state"}
    assert {row[0] for row in rows["Action"]} == {"action"}
    first = {
        "openpi": ["shoulder_pan.pos", MOTOR],
        "rlinf": ["x", "-"],
    }  # LIBERO's are changes, as the simulator scales them
    assert rows["Action"][0][1:3] == first[trainer]
    assert "Give the text exactly." in sheet


@pytest.mark.parametrize(("range_known", "unit"), [(True, "rad"), (False, f"rad or {MOTOR}")])
def test_radians_of_a_robot_with_motor_units(tmp_path: Path, range_known: bool, unit: str) -> None:
    """Values tell them apart: motor units leave what a joint can have in radians."""
    [path] = write_sample("leisaac", tmp_path, episodes=2, frames=FRAMES, cameras=())
    step = "steps[3]={joint_remapper: {robot: so101}}"
    run_shipped("leisaac_so101", [path], tmp_path / "out", step)
    if not range_known:
        (tmp_path / "out/meta/stats.json").unlink()
    sheet = evaluation_files(open_dataset(tmp_path / "out"), "LeRobot", load_robot("so101"))["evaluation.md"]
    rows = blocks(sheet)
    assert [row[1:3] for row in rows["Action"][:5]] == [[name, unit] for name in ARM]
    assert len(rows["Action"][0]) == (4 if range_known else 3)


@pytest.mark.parametrize(
    "content",
    [
        '{"action": {"min": [[1], [1, 2]], "max": "x"}}',
        '{"action": {"min": [NaN, 0, 0, 0, 0, 0], "max": [1, 1, 1, 1, 1, 1]}}',
    ],
)
def test_ranges_that_are_no_numbers_are_not_shown(made: Callable[[str], Path], tmp_path: Path, content: str) -> None:
    dataset = shutil.copytree(made("leisaac_so101"), tmp_path / "dataset")
    (dataset / "meta/stats.json").write_text(content)
    sheet = evaluation_files(open_dataset(dataset), "LeRobot", load_robot("so101"))["evaluation.md"]
    assert [len(row) for row in blocks(sheet)["Action"]] == [3] * 6


def test_statistics_that_cannot_be_read_are_named_with_the_dataset(made: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = shutil.copytree(made("leisaac_so101"), tmp_path / "dataset")
    (dataset / "meta/stats.json").write_text("{")
    with pytest.raises(DatasetDamaged, match=f"{dataset}/meta/stats.json: cannot be read as JSON"):
        evaluation_files(open_dataset(dataset), "LeRobot", None)


HOSTILE = "Pick | up\n\n# [it](javascript:x) `rm` ```\u202e<b>\x1b[31m ～日本語"


def test_texts_and_names_of_others_stay_in_their_blocks(made: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = shutil.copytree(made("leisaac_so101"), tmp_path / "dataset")
    tasks = dataset / "meta/tasks.jsonl"
    tasks.write_text(json.dumps({"task_index": 0, "task": HOSTILE}) + "\n")
    info = json.loads((dataset / "meta/info.json").read_text())
    info["robot_type"] = HOSTILE
    info["features"]["action"]["names"][0] = HOSTILE
    (dataset / "meta/info.json").write_text(json.dumps(info))
    sheet = evaluation_files(open_dataset(dataset), "LeRobot", None)["evaluation.md"]
    lines = sheet.split("\n")
    assert all(char.isprintable() for line in lines for char in line)
    assert all(line.startswith("    ") for line in lines if "rm" in line.split() or "`rm`" in line)
    headings = [line for line in lines if line.startswith("#")]
    assert headings == ["# What inference must repeat", "## Instruction", "## State", "## Action", "## Cameras"]
    [row] = [line for line in lines if line.startswith('    "')]
    assert json.loads(row) == HOSTILE, "it can be copied as JSON"
    assert "～日本語" in row


# (pipeline, robot, release): what Arena's own files have for it; (tag, mode, keys, folder, joints).
TABLETOP, LOCO = "gr1_tabletop_manipulation", "g1_locomanipulation"
EMBODIMENTS = "isaaclab_arena_gr00t/embodiments"
REPLAYS: dict[tuple[str, str, str], tuple[str, str, tuple[str, str], str, tuple[str, str]]] = {
    ("arena_gr1_ranch_bottle", "gr1", "n1.6"): (
        "GR1",
        TABLETOP,
        ("modality_config_path", f"{EMBODIMENTS}/gr1/gr1_arms_only_data_config.py"),
        f"{EMBODIMENTS}/gr1",
        ("gr00t_26dof", "36dof"),
    ),
    ("arena_g1_locomanip", "g1", "n1.6"): (
        "NEW_EMBODIMENT",
        LOCO,
        ("modality_config_path", f"{EMBODIMENTS}/g1/g1_sim_wbc_data_config.py"),
        f"{EMBODIMENTS}/g1",
        ("gr00t_43dof", "43dof"),
    ),
    ("arena_g1_locomanip", "g1", "n1.7"): (
        "NEW_EMBODIMENT",
        LOCO,
        ("modality_config_path", f"{EMBODIMENTS}/g1/g1_sim_wbc_data_gr00t_n_1_7_config.py"),
        f"{EMBODIMENTS}/g1",
        ("gr00t_43dof", "43dof"),
    ),
    ("arena_gr1_ranch_bottle", "gr1", "n1.5"): (
        "gr1",
        TABLETOP,
        ("data_config", "fourier_gr1_arms_only"),
        "isaaclab_arena_gr00t/config/gr1",
        ("gr00t_26dof", "36dof"),
    ),
    ("arena_g1_locomanip", "g1", "n1.5"): (
        "new_embodiment",
        LOCO,
        ("data_config", "unitree_g1_sim_wbc"),
        "isaaclab_arena_gr00t/config/g1",
        ("gr00t_43dof", "43dof"),
    ),
}


@pytest.mark.parametrize(("pipeline", "robot", "version"), REPLAYS)
def test_the_replay_of_arena(
    made: Callable[[str], Path], tmp_path: Path, pipeline: str, robot: str, version: str
) -> None:
    tag, mode, (key, value), folder, (policy, simulator) = REPLAYS[pipeline, robot, version]
    handoff(made(pipeline), tmp_path / "out", "gr00t", "--robot", robot, "--version", version)
    text = (tmp_path / "out/replay_action_config.yaml").read_text()
    assert yaml.safe_load(text) == {
        "dataset_path": str(made(pipeline)),
        "action_horizon": 1,
        "action_chunk_length": 1,
        "embodiment_tag": tag,
        "video_backend": "decord",
        key: value,
        "policy_joints_config_path": f"{folder}/{policy}_joint_space.yaml",
        "action_joints_config_path": f"{folder}/{simulator}_joint_space.yaml",
        "task_mode_name": mode,
    }
    assert "not tried in a simulator" in text
    assert f"--embodiment {'gr1_joint' if robot == 'gr1' else 'g1_wbc_joint'}" in text


@pytest.mark.parametrize(
    ("pipeline", "arguments"),
    [
        ("leisaac_so101", ["--robot", "so101", "--version", "n1.6"]),
        ("arena_gr1_ranch_bottle", ["--robot", "gr1", "--version", "n1.7"]),  # Arena has no configuration
        (
            "arena_gr1_ranch_bottle",
            ["--robot", "gr1", "--version", "n1.6", "--tag", "new_embodiment"],
        ),  # it asserts GR1
        ("evaltasks_nut_pouring", ["--robot", "gr1", "--version", "n1"]),
    ],
)
def test_no_replay_where_arena_has_none(
    made: Callable[[str], Path], tmp_path: Path, pipeline: str, arguments: list[str]
) -> None:
    handoff(made(pipeline), tmp_path / "out", "gr00t", *arguments)
    assert not (tmp_path / "out/replay_action_config.yaml").exists()
