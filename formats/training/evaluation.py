"""Sheet of what inference must repeat: instructions, keys, units, cameras, rate and horizon; for Arena also a replay.

Texts and names of the dataset stand in blocks that are indented by four spaces, where Markdown means nothing, each on a
line of its own: `printable` writes line breaks and control characters as escapes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import yaml

from ...core.errors import naming_dataset, printable
from ...core.features import DEFAULT_FEATURES, VISUAL_NAMES, Feature, vectors
from ...manifests.robot import Gr00tVersion, Joint, RobotManifest
from ..lerobot.datasets.dataset import Dataset
from ..lerobot.gr00t.modality import MODALITY, VECTORS, column_of
from ..lerobot.paths_v30 import STATS
from .gr00t_training import Gr00tTraining

EVALUATION = "evaluation.md"
REPLAY = "replay_action_config.yaml"
Key: TypeAlias = tuple[str, str, slice]  # as the policy has it, its feature, its part of the feature
Seen: TypeAlias = Sequence[tuple[float, float]]  # smallest and largest value of each entry

_ORANGES = "Pick three oranges"
_OTHER_TEXTS: Sequence[tuple[tuple[str, ...], str, str]] = (  # beginnings of texts, who gives another one, that text
    (
        (_ORANGES, "Grab orange and"),
        "LeIsaac's guide to inference",
        "Pick up the orange and place it on the plate",
    ),
    ((_ORANGES,), "LeIsaac's converter up to v0.3", "Grab orange and place into plate"),
    (
        ("Place the ranch dressing bottle",),
        "Isaac Lab Arena's evaluation, on purpose (zero-shot)",
        "Place the sauce bottle on the top shelf of the fridge, and close the fridge door.",
    ),
)
_ENVIRONMENTS: Mapping[str, str] = {  # robot, or robot_type
    "so101": "LeIsaac renders `front` and `wrist` in 480 x 640 and moves the joints in radians.",
    "gr1": "Isaac Lab Arena renders `robot_pov_cam_rgb` in 512 x 512. Evaluate with its embodiment `gr1_joint`.",
    "gr1_arms_only": (
        "IsaacLabEvalTasks renders 160 x 256. Pad each frame to 256 x 256, with 48 black rows above and below."
    ),
    "g1": "Isaac Lab Arena renders `robot_head_cam_rgb` in 480 x 640. Evaluate with its embodiment `g1_wbc_joint`.",
    "libero": (
        "The policy gets each frame of the simulator rotated by 180 degrees (`frame[::-1, ::-1]`), in 256 x 256. Its "
        "gripper g is 0 to close and 1 to open. The simulator takes 1 to close and -1 to open: the sign of 1 - 2 g."
    ),
}


def evaluation_files(
    dataset: Dataset, trainer: str, robot: RobotManifest | None, training: Gr00tTraining | None = None
) -> dict[str, str]:
    """Return file name to content.

    Args:
        dataset: Dataset that the policy is trained on.
        trainer: Name of the trainer, and its release.
        robot: Robot of the recordings, for units; None if it is not known.
        training: Keys, tag and horizon of GR00T; without it the features themselves are the keys.

    Raises:
        DatasetDamaged: If the dataset cannot be read.
    """
    with naming_dataset(dataset.root):
        files = {EVALUATION: _sheet(dataset, trainer, robot, training)}
    if robot is not None and training is not None and (replay := _replay(robot.name, training)):
        files[REPLAY] = replay
    return files


def _sheet(dataset: Dataset, trainer: str, robot: RobotManifest | None, training: Gr00tTraining | None) -> str:
    modality = dataset.json(MODALITY) if training else {}
    texts = list(_texts(dataset, training, modality))
    seen = dataset.json(STATS) if (dataset.root / STATS).is_file() else {}
    named = (str(dataset.info.get("robot_type")), robot.name if robot else "")
    environment = next((_ENVIRONMENTS[name] for name in named if name in _ENVIRONMENTS), "")
    parts = [
        "# What inference must repeat",
        f"{trainer} learns from these values. With others a policy fails, and nothing reports an error.",
        _block(_facts(dataset, robot, training)),
        "## Instruction",
        f"{_language_rule(training)} The texts of the dataset:",
        _block([json.dumps(text, ensure_ascii=False)] for text in texts),
    ]
    if others := [(f"{who}:", other) for begin, who, other in _OTHER_TEXTS if any(t.startswith(begin) for t in texts)]:
        parts += ["Other texts for this task, which the policy has not learned:", _block(others)]
    for section in ("state", "action"):
        keys = _vector_keys(section, dataset, training, modality)
        rows = [row for key in keys for row in _entries(key, dataset.features, robot, seen)]
        parts += [
            f"## {section.capitalize()}",
            "Key, entry, unit, smallest and largest value of the dataset:",
            _block(rows),
        ]
    parts += ["## Cameras", "Key, feature, height x width, colours:", _block(_cameras(dataset, training, modality))]
    if environment and training and training.rlinf_tag in ("", "libero_franka"):  # others are for other simulators
        parts += ["## Environment", environment]
    return "\n\n".join(parts) + "\n"


def _block(rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns as a block of code; cells come from the dataset."""
    cells = [[printable(cell) for cell in row] for row in rows] or [["none"]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _facts(dataset: Dataset, robot: RobotManifest | None, training: Gr00tTraining | None) -> Iterator[tuple[str, str]]:
    yield "dataset", str(dataset.root.absolute())
    yield "robot", robot.name if robot else str(dataset.info.get("robot_type"))
    yield "rate", f"{dataset.fps} rows a second"
    if training is None:
        return
    yield "configuration", training.source
    yield "embodiment tag", training.tag
    yield "horizon", f"{training.horizon} actions"
    yield "instruction key", f"annotation.{training.language}"
    if training.sin_cos:
        yield "sine and cosine", f"{', '.join(training.sin_cos)}: taken by GR00T from the values below"
    if training.relative:
        yield "relative actions", f"{', '.join(training.relative)}: learned as difference from the state"
    if training.rlinf_tag:
        yield "RLinf", f"tag {training.rlinf_tag}; `handoff rlinf` says how many actions it plays of each prediction"
    for note in training.notes:
        yield "note", note


def _language_rule(training: Gr00tTraining | None) -> str:
    if training is None:
        return "Give the text exactly."
    release = f"GR00T {training.version.upper()}"
    if training.is_old:
        return f"{release} takes the text as it is, with capitals and punctuation."
    return f"{release} lower-cases the text and drops punctuation; the words must be the same."


def _texts(dataset: Dataset, training: Gr00tTraining | None, modality: Mapping[str, Any]) -> Iterator[str]:
    """Yield the instructions that rows refer to; tasks.jsonl may have others, such as "valid"."""
    column = "task_index"
    if training is not None:
        column = column_of("annotation", training.language, modality["annotation"][training.language])
    numbers: set[int] = set()
    for batch in dataset.rows([column]):
        numbers.update(map(int, np.unique(batch[column])))  # N1 to N1.7 take whole numbers in float columns too
    yield from (dataset.tasks[number] for number in sorted(numbers) if 0 <= number < len(dataset.tasks))


def _vector_keys(
    section: str, dataset: Dataset, training: Gr00tTraining | None, modality: Mapping[str, Any]
) -> Iterator[Key]:
    if training is None:
        prefixes = ("action",) if section == "action" else ("observation.", "state")
        for key in vectors(dataset.features):
            if key.startswith(prefixes) and key not in DEFAULT_FEATURES:
                yield key, key, slice(None)
        return
    for key in training.state if section == "state" else training.action:
        entry = modality[section][key]
        named = f"{section}.{key}" if training.is_old else key
        yield named, column_of(section, key, entry), slice(entry["start"], entry["end"])


def _entries(
    key: Key, features: Mapping[str, Feature], robot: RobotManifest | None, stats: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    name, column, part = key
    is_joints = column in (*VECTORS["state"], *VECTORS["action"])  # not velocities, efforts or poses
    feature, own = features[column], robot.joints if robot and is_joints else []
    width = math.prod(feature.shape)
    names = feature.names if feature.names and len(feature.names) == width else None
    by_name = {joint.name: joint for joint in own}
    if len(own) == width and not by_name.keys() & set(names or ()):  # other names for the robot's joints, in its order
        joints: list[Joint | None] = list(own)
    else:
        joints = [by_name.get(entry) for entry in names or map(str, range(width))]
    seen = _seen(stats.get(column), width)
    is_motor = _is_motor(joints, seen)
    for index in range(width)[part]:
        joint = joints[index]
        shown = names[index] if names else joint.name if joint else str(index)
        low_to_high = f"{seen[index][0]:.4g} to {seen[index][1]:.4g}" if seen else ""
        yield name, shown, _unit(joint, is_motor), low_to_high


def _seen(entry: Any, width: int) -> Seen:
    """Return the range of each entry; nothing where stats.json does not say it."""
    ends = [entry.get(end) for end in ("min", "max")] if isinstance(entry, dict) else []
    flat = [[value for value in values if _is_finite(value)] for values in ends if isinstance(values, list)]
    return list(zip(*flat, strict=True)) if [len(values) for values in flat] == [width, width] else []


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e300  # no NaN, and no whole number that has no float


def _is_motor(joints: Sequence[Joint | None], seen: Seen) -> bool | None:
    """Return whether a vector is in motor units: values that no joint can have in radians say so; None if not known."""
    ranges = [joint.range_deg if joint and joint.motor_range else None for joint in joints]
    if not seen or not any(ranges):
        return None
    beyond = (
        low < math.radians(limits[0]) - 0.1 or high > math.radians(limits[1]) + 0.1
        for limits, (low, high) in zip(ranges, seen, strict=True)
        if limits
    )
    return any(beyond)


def _unit(joint: Joint | None, is_motor: bool | None) -> str:
    if joint is None:
        return "-"
    unit = "-" if joint.unit == "none" else joint.unit
    if joint.motor_range is None or is_motor is False:
        return unit
    motor = "motor units {:g} to {:g}".format(*joint.motor_range)
    return motor if is_motor else f"{unit} or {motor}"


def _cameras(
    dataset: Dataset, training: Gr00tTraining | None, modality: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    keys = {key: key for key in dataset.cameras}
    if training is not None:
        prefix = "video." if training.is_old else ""
        keys = {prefix + key: column_of("video", key, modality["video"][key]) for key in training.video}
    for key, column in keys.items():
        feature = dataset.features[column]
        size = dict(zip(feature.names or VISUAL_NAMES, feature.shape, strict=False))
        yield key, column, f"{size.get('height')} x {size.get('width')}", "depth" if feature.is_depth else "RGB"


# Robot to embodiment tag, task mode, joints of the policy and of the simulator, embodiment, in Isaac Lab Arena.
_ARENA: Mapping[str, tuple[str, str, str, str, str]] = {
    "gr1": ("gr1", "gr1_tabletop_manipulation", "gr00t_26dof", "36dof", "gr1_joint"),
    "g1": ("new_embodiment", "g1_locomanipulation", "gr00t_43dof", "43dof", "g1_wbc_joint"),
}
# What names the keys: a configuration by name in release 0.1.1 (GR00T N1.5), a file in those for N1.6 and N1.7.
_ARENA_KEYS: Mapping[tuple[str, Gr00tVersion], str] = {
    ("gr1", "n1.5"): "fourier_gr1_arms_only",
    ("g1", "n1.5"): "unitree_g1_sim_wbc",
    ("gr1", "n1.6"): "gr1_arms_only_data_config.py",
    ("g1", "n1.6"): "g1_sim_wbc_data_config.py",
    ("g1", "n1.7"): "g1_sim_wbc_data_gr00t_n_1_7_config.py",
}
_ARENA_ACTIONS = {"left_arm", "right_arm", "left_hand", "right_hand"}
_RUNNERS = (
    "isaaclab_arena/examples/policy_runner.py --policy_type replay_lerobot",
    "isaaclab_arena/evaluation/policy_runner.py "
    "--policy_type isaaclab_arena_gr00t.policy.replay_lerobot_action_policy.ReplayLerobotActionPolicy",
)


def _replay(robot: str, training: Gr00tTraining) -> str:
    """Return the configuration of Arena's ReplayLerobotActionPolicy; empty where it cannot play these actions."""
    keys = _ARENA_KEYS.get((robot, training.version))
    if keys is None or training.tag != _ARENA[robot][0] or not set(training.action) >= _ARENA_ACTIONS:
        return ""
    tag, mode, policy, simulator, embodiment = _ARENA[robot]
    folder = f"isaaclab_arena_gr00t/{'config' if training.is_old else 'embodiments'}/{robot}"
    named = {"data_config": keys} if training.is_old else {"modality_config_path": f"{folder}/{keys}"}
    content = {
        "dataset_path": str(training.dataset),
        # The policy of N1.6 plays action_chunk_length rows of a chunk, and begins the next action_horizon rows later.
        "action_horizon": 1,
        "action_chunk_length": 1,
        "embodiment_tag": tag if training.is_old else tag.upper(),
        "video_backend": "decord",
        **named,
        "policy_joints_config_path": f"{folder}/{policy}_joint_space.yaml",
        "action_joints_config_path": f"{folder}/{simulator}_joint_space.yaml",
        "task_mode_name": mode,
    }
    release, runner = training.version.upper(), _RUNNERS[not training.is_old]
    about = f"""# Replay of the dataset's actions in Isaac Lab Arena for GR00T {release}, from the root of its checkout:
#   python {runner} \\
#     --config_yaml_path THIS_FILE --enable_cameras ENVIRONMENT --embodiment {embodiment}
# Written from the source of Arena; not tried in a simulator.
"""
    return about + yaml.safe_dump(content, sort_keys=False, width=1000)
