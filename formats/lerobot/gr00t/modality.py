"""meta/modality.json: where GR00T finds states, actions, cameras and instructions in the columns of a dataset.

Read by gr00t/data/dataset.py (N1, N1.5) and gr00t/data/dataset/lerobot_episode_loader.py (N1.6, N1.7). What is
written names the column of every key: where it is left out, N1 and N1.5 look for others than N1.6 and N1.7.

experiment_cfg/metadata.json: what checkpoints of GR00T N1 and N1.5 know of the data, which RLinf asks for too. Keys
as in gr00t/data/schema.py of N1 and N1.5 (DatasetMetadata); values are those of meta/stats.json, cut by modality.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core.checksums import update_list
from ....core.commit import write_file
from ....core.errors import Damaged, UsageError, printable
from ....core.features import Feature, Features, video_cameras
from ....core.yaml_source import text_of
from ....manifests.robot import RobotManifest, RobotPart
from .. import paths_v30
from ..dataset_files import parse_object, read_object
from ..datasets.dataset_v21 import DatasetV21
from ..features.feature_kind import kind_of

MODALITY = "meta/modality.json"
METADATA = "experiment_cfg/metadata.json"
_STATISTICS = ("max", "min", "mean", "std", "q01", "q99")
VECTORS = {"state": ("observation.state", "state"), "action": ("action", "actions")}  # a robot's, or RLinf's names
ANY_TASK = "human.task_description"  # the key where a dataset has no annotations of its own
_CAMERA = "observation.images."
_NUMBERED = re.compile(r"\D*\d+")  # motor_0, dim_1: no names of joints
_ANNOTATION = "annotation."

SECTIONS = (*VECTORS, "video", "annotation")


def modality_of(features: Features, robot: RobotManifest) -> dict[str, dict[str, Any]]:
    """Return the content of modality.json.

    The robot's groups are parts of state and action, found by the names of the joints; its manifest may name
    parts of other columns.

    Args:
        features: What the dataset holds.
        robot: Robot with the joints of the vectors.

    Raises:
        UsageError: If the joints of a group are not side by side in a vector, or none of them is there.
    """
    extra = robot.gr00t.parts
    content: dict[str, dict[str, Any]] = {}
    for section, given in (("state", extra.state), ("action", extra.action)):
        column = next((name for name in VECTORS[section] if name in features), VECTORS[section][0])
        # A manifest says observation.state and action, whatever the dataset calls them.
        parts = {
            key: part.model_copy(update={"column": column}) if part.column in VECTORS[section] else part
            for key, part in given.items()
        }
        is_cut = any(part.column == column for part in parts.values())  # the manifest itself says how
        found = list(() if is_cut else _groups(column, features.get(column), robot))
        found += [(key, part) for key, part in parts.items() if part.column in features]
        if not found:
            raise UsageError(f"robot {robot.name}", f"names nothing of {column}", f"groups or gr00t.parts.{section}")
        for key, part in found:
            _check_inside(key, part, features[part.column])
        content[section] = {
            key: {"original_key": part.column, "start": part.start, "end": part.end} for key, part in found
        }
    videos = {key: key.removeprefix(_CAMERA) for key in video_cameras(features)}
    content["video"] = _columns(extra.video, videos, features)
    texts = {key: key.removeprefix(_ANNOTATION) for key in features if key.startswith(_ANNOTATION)}
    if not texts and not extra.annotation:
        texts = {"task_index": ANY_TASK}
    content["annotation"] = _columns(extra.annotation, texts, features)
    return content


def read_modality(path: str) -> dict[str, Any]:
    """Return the content of a modality.json of your own.

    Args:
        path: The file; its name ends with .json, by which a run knows that its content counts.

    Raises:
        UsageError: If it cannot be read, has another name, is not a JSON object, with the line, or has a key twice.
    """
    expected = f"a file NAME.json with an object of {', '.join(SECTIONS)}, like {MODALITY} of a GR00T dataset"
    if not path.endswith(".json"):
        raise UsageError(path, "its name does not end with .json", expected)
    text = text_of(path, expected)
    try:
        content = parse_object(text.encode(), path)
    except Damaged as exc:
        raise UsageError(path, exc.found, expected) from exc
    twice: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        twice.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)

    json.loads(text.encode(), object_pairs_hook=note)
    if twice:  # JSON's readers take the last
        raise UsageError(path, f"has a key twice in one object: {printable(', '.join(twice))}", "each key once")
    return content


def modality_text(content: Mapping[str, Any]) -> bytes:
    """Return modality.json as it is written."""
    return (json.dumps(content, indent=4) + "\n").encode()


def write_modality(root: Path, content: Mapping[str, Any]) -> None:
    """Write meta/modality.json of a dataset, whole or not at all; an equal one stays as it is."""
    if stale_modality(root, content):
        write_file(root / MODALITY, modality_text(content))
        update_list(root, [MODALITY])


def stale_modality(root: Path, content: Mapping[str, Any]) -> list[str]:
    """Say how meta/modality.json of a dataset differs from a content: see `differences`, or it cannot be read."""
    try:
        return differences(read_object(root, MODALITY), content)
    except Damaged as exc:
        return [exc.found]


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Say how the content of a modality.json differs from another, key by key.

    The order of the keys in a section counts: training takes them in it. That of the fields of an entry does not.
    """
    notes: list[str] = []
    for section in dict.fromkeys([*expected, *found]):
        left, right = found.get(section), expected.get(section)
        if not isinstance(left, dict) or not isinstance(right, dict):
            notes += _differing({section: left}, {section: right})
        elif left != right:
            inside = ({f"{section}.{key}": entry for key, entry in names.items()} for names in (left, right))
            notes += _differing(*inside)
        elif list(left) != list(right):
            notes.append(f"{section} has the order {', '.join(left)} instead of {', '.join(right)}")
    return [printable(note) for note in notes]


def _differing(found: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*expected, *found]):
        left, right = found.get(key), expected.get(key)
        if left is None and right is not None:
            yield f"{key} is missing"
        elif right is None and left is not None:
            yield f"{key} is unexpected: {json.dumps(left)}"
        elif left != right:
            yield f"{key} is {json.dumps(left)} instead of {json.dumps(right)}"


def column_of(section: str, key: str, entry: Mapping[str, Any]) -> Any:
    """Return the column of an entry of modality.json as N1.6 and N1.7 find it: its original_key, or a default."""
    default = {"video": _CAMERA + key, "annotation": _ANNOTATION + key}
    return entry.get("original_key", default.get(section) or VECTORS[section][0])


def renamed_columns(content: Mapping[str, Any], name: Callable[[str], str | None]) -> tuple[dict[str, Any], list[str]]:
    """Return the content of a modality.json for a dataset with renamed columns, and the entries that it loses.

    Args:
        content: The content.
        name: Gives the new name of a column, None where the dataset loses it.
    """
    made, lost = dict(content), []
    for section in SECTIONS:
        if not isinstance(names := content.get(section), dict):
            continue
        made[section] = dict(names)
        for key, entry in names.items():
            column = column_of(section, key, entry) if isinstance(entry, dict) else None
            new = name(column) if isinstance(column, str) else column
            if new is None and column is not None:
                lost.append(f"{section}.{key}")
                del made[section][key]
            elif new != column:
                made[section][key] = {**entry, "original_key": new}
    return made, lost


def _groups(column: str, feature: Feature | None, robot: RobotManifest) -> Iterator[tuple[str, RobotPart]]:
    names = _names(column, feature, robot)
    for group, joints in robot.groups.items():
        at = [names.index(joint) for joint in joints if joint in names]
        if not at:
            continue  # a vector need not have all of the robot
        if at != list(range(at[0], at[0] + len(joints))):
            raise UsageError(
                column,
                f"the joints of group {group} are not all there side by side: it has {', '.join(names)}",
                f"{', '.join(joints)}, in this order",
                f"joint_remapper: {{robot: {robot.name}}} puts them so",
            )
        yield group, RobotPart(column=column, start=at[0], end=at[0] + len(joints))


def _names(column: str, feature: Feature | None, robot: RobotManifest) -> Sequence[str]:
    """Return the joint names of a vector; without any, or with numbers for names, it must have all of the robot's."""
    if feature is None:
        raise UsageError(column, "is not a feature of the dataset", "the vector of the robot's joints")
    if set(feature.names or ()) & set(robot.joint_names):
        return feature.names or ()
    if feature.shape == (len(robot.joints),) and all(map(_NUMBERED.fullmatch, feature.names or ())):
        return robot.joint_names
    raise UsageError(
        column,
        f"is {feature} and names no joint of robot {robot.name}",
        f"joints of {', '.join(robot.joint_names[:3])}, … ({len(robot.joints)})",
        "name the robot of this dataset, or put its joints in order with joint_remapper",
    )


def _check_inside(key: str, part: RobotPart, feature: Feature) -> None:
    if not kind_of(feature).is_numeric or len(feature.shape) != 1 or part.end > feature.shape[0]:
        raise UsageError(
            f"{key} of modality.json",
            f"{part.column} is {feature}",
            f"a vector with values {part.start} to {part.end - 1}",
        )


def _columns(
    named: Mapping[str, str | list[str]], others: Mapping[str, str], features: Features
) -> dict[str, dict[str, str]]:
    """Return key to column: those that the manifest names, then all others (column to key)."""
    known = {"task_index", *features}
    choices = {key: [columns] if isinstance(columns, str) else columns for key, columns in named.items()}
    found = {key: next(filter(known.__contains__, columns), None) for key, columns in choices.items()}
    keys = {key: column for key, column in found.items() if column is not None}
    keys |= {key: column for column, key in others.items() if column not in keys.values()}
    return {key: {"original_key": column} for key, column in keys.items()}


@dataclass(frozen=True, slots=True)
class ModalityEntry:
    """One name, and what it stands for.

    Attributes:
        section: One of SECTIONS.
        key: The name.
        content: Its object in the file.
    """

    section: str
    key: str
    content: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Place of the entry, for messages."""
        return f"{MODALITY}, {self.section}.{self.key}"


def entries(content: Mapping[str, Any]) -> Iterator[ModalityEntry]:
    """Yield what can be read as an entry; `misfits` names the rest."""
    for section in SECTIONS:
        names = content.get(section)
        for key, entry in names.items() if isinstance(names, dict) else ():
            if isinstance(entry, dict):
                yield ModalityEntry(section, key, entry)


def misfits(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (place, problem) of sections and entries that are no objects; sections may be missing or null."""
    for section in SECTIONS:
        if (names := content.get(section)) is None:
            continue
        inside = {f"{section}.{key}": entry for key, entry in names.items()} if isinstance(names, dict) else {}
        for place, entry in (inside or {section: names}).items():
            if not isinstance(entry, dict):
                yield f"{MODALITY}, {place}", f"is {entry!r} instead of an object"


def slice_of(entry: ModalityEntry) -> tuple[int, int] | None:
    """Return start and end of a state or an action; None where they are no range."""
    start, end = entry.content.get("start"), entry.content.get("end")
    return (start, end) if type(start) is int and type(end) is int and 0 <= start < end else None


def slice_problem(entry: ModalityEntry, column: str, feature: Feature) -> str:
    """Say why a state or an action is no part of its column; empty if it is one."""
    if len(feature.shape) != 1 or not kind_of(feature).is_numeric:
        return f"original_key is {column!r}, which is {feature} and no vector"
    found = slice_of(entry)
    if found is None or found[1] > feature.shape[0]:
        told = f"start is {entry.content.get('start')!r} and end is {entry.content.get('end')!r}"
        return f"{told}, not a part of the {feature.shape[0]} values of {column}"
    return ""


def gr00t_metadata(dataset: DatasetV21, *tags: str) -> dict[str, Any]:
    """Return the content of metadata.json for one dataset.

    Args:
        dataset: With modality.json and GR00T's stats.json.
        tags: Embodiment tags; an entry for each.

    Raises:
        Damaged: If a file is missing or not what it should be.
        UsageError: If stats.json lacks what modality.json names.
    """
    modality, stats = dataset.json(MODALITY), dataset.json(paths_v30.STATS)
    statistics: dict[str, Any] = {}
    shapes: dict[str, Any] = {}
    for section in ("state", "action"):
        parts = modality[section]
        statistics[section] = {
            key: _statistics(key, column_of(section, key, part), part, stats) for key, part in parts.items()
        }
        shapes[section] = {key: _described(part) for key, part in parts.items()}
    video = {key: _camera(dataset, column_of("video", key, entry)) for key, entry in modality["video"].items()}
    described = {"statistics": statistics, "modalities": {"video": video, **shapes}}
    return {tag: {**described, "embodiment_tag": tag} for tag in tags}


def _statistics(key: str, column: str, part: dict[str, Any], stats: dict[str, Any]) -> dict[str, list[float]]:
    entry = stats.get(column)
    if not isinstance(entry, dict) or any(entry.get(name) is None for name in _STATISTICS):
        raise UsageError(
            f"{paths_v30.STATS}, {column}",
            f"has not all statistics that {key} needs",
            ", ".join(_STATISTICS),
            "robotrove stats DATASET --gr00t",
        )
    return {name: entry[name][part["start"] : part["end"]] for name in _STATISTICS}


def _described(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "absolute": part.get("absolute", True),
        "rotation_type": part.get("rotation_type"),
        "shape": [part["end"] - part["start"]],
        "continuous": True,
    }


def _camera(dataset: DatasetV21, column: str) -> dict[str, Any]:
    height, width, channels = dataset.features[column].shape
    return {"resolution": [width, height], "channels": channels, "fps": float(dataset.fps)}
