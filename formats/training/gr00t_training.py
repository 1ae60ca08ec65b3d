"""GR00T fine-tuning: configuration and command for a dataset, a robot and a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ...core.errors import UsageError, nearest
from ...manifests.robot import Gr00tVersion, RobotManifest
from ..lerobot.datasets.dataset_v21 import DatasetV21
from ..lerobot.gr00t.modality import MODALITY

# Tags that RLinf adds to N1.5 in its own process, with their projectors (rlinf/models/embodiment/gr00t/gr00t_n1d5 at
# a3816b59). NVIDIA's N1.5 knows none of them, and trains four projectors.
RLINF: Mapping[str, int] = {
    **{"libero_franka": 31, "isaaclab_franka": 31, "maniskill_widowx": 30, "libero_panda": 2},
    "robocasa_panda_omron": 13,
}
_NVIDIA = {"gr1": 24, "oxe_droid": 17, "agibot_genie1": 26, "new_embodiment": 31}
# Embodiment tags of each release (gr00t/data/embodiment_tags.py, gr00t/data/schema.py).
TAGS: Mapping[Gr00tVersion, Sequence[str]] = {
    "n1": ("gr1", "new_embodiment"),
    "n1.5": (*_NVIDIA, *RLINF),
    "n1.6": (
        *("robocasa_panda_omron", "gr1", "unitree_g1", "libero_panda", "oxe_google", "oxe_widowx", "oxe_droid"),
        *("behavior_r1_pro", "new_embodiment"),
    ),
    "n1.7": (
        *("oxe_droid_relative_eef_relative_joint", "xdof_relative_eef_relative_joint"),
        *("xdof_relative_eef_relative_joint_subtask", "real_g1_relative_eef_relative_joints"),
        *("real_r1_pro_sharpa_relative_eef", "real_r1_pro_sharpa_relative_eef_human"),
        *("real_r1_pro_sharpa_relative_eef_maxinsights", "real_r1_pro_sharpa_relative_eef_mecka"),
        *("unitree_g1_full_body_with_waist_height_nav_cmd", "simpler_env_google", "simpler_env_widowx"),
        *("libero_sim", "new_embodiment"),
    ),
}
HORIZON = 16  # actions predicted at a time, as in GR00T's own examples
# Values that N1 and N1.5 have room for (GR00TTransform in gr00t/experiment/data_config.py).
_MOST = {"state": 64, "action": 32}
_OLD: tuple[Gr00tVersion, ...] = ("n1", "n1.5")
# Tags of the pretraining data of N1.6 (gr00t/data/embodiment_tags.py): with override_pretraining_statistics=False its
# processor keeps the statistics of the checkpoint for a tag that the checkpoint has. That these are in
# nvidia/GR00T-N1.6-3B is inferred from the list, not verified.
_PRETRAINED = ("robocasa_panda_omron", "gr1")

# Owner of a configuration: Isaac Lab Arena, GR00T itself, or robotrove (its own choice).
Like: TypeAlias = Literal["arena", "gr00t", "robotrove"]


@dataclass(frozen=True, slots=True)
class Gr00tTraining:
    """One fine-tuning.

    Attributes:
        version: Release of GR00T.
        tag: Embodiment tag.
        dataset: Folder of the dataset.
        video: Keys of modality.json, as all that follow.
        state: What the policy sees.
        action: What it predicts.
        relative: Those of the actions that are learned relative to the state of the same name; N1.6 and N1.7.
        language: Key of the instruction.
        sin_cos: States that the policy sees as sine and cosine; the others are scaled by minimum and maximum.
        horizon: Actions that it predicts at a time.
        like: Owner of the configuration.
        rlinf_tag: Tag by which RLinf reads what is trained as `tag`; empty for one of NVIDIA's.
    """

    version: Gr00tVersion
    tag: str
    dataset: Path
    video: tuple[str, ...]
    state: tuple[str, ...]
    action: tuple[str, ...]
    relative: tuple[str, ...]
    language: str
    sin_cos: tuple[str, ...] = ()
    horizon: int = HORIZON
    like: Like = "robotrove"
    rlinf_tag: str = ""

    @property
    def is_old(self) -> bool:
        """True for N1 and N1.5, which are configured otherwise than N1.6 and N1.7."""
        return self.version in _OLD

    @property
    def keeps_statistics(self) -> bool:
        """True where training uses the statistics of the checkpoint instead of the dataset's."""
        return keeps_statistics(self.version, self.tag)


def keeps_statistics(version: Gr00tVersion, tag: str) -> bool:
    """Return whether a release normalizes the data of a tag with the statistics of its checkpoint.

    N1.6 does for the tags of its pretraining; the other releases always use stats.json of the dataset.
    """
    return version == "n1.6" and tag in _PRETRAINED


def gr00t_training(
    dataset: DatasetV21, robot: RobotManifest, version: Gr00tVersion, tag: str | None = None
) -> Gr00tTraining:
    """Choose the keys to train GR00T with: the robot's policy keys as far as the dataset has them.

    Args:
        dataset: With a modality.json that the release takes.
        robot: Robot of the recordings.
        version: Release of GR00T.
        tag: Embodiment tag instead of the robot's.

    Raises:
        UsageError: If the dataset has nothing of the robot, or keys of it with other numbers of values, or the
            release has no such tag.
    """
    modality = dataset.json(MODALITY)
    chosen = tag or robot.gr00t.tags.get(version)
    if chosen not in TAGS[version]:
        found = f"GR00T {version.upper()} has no embodiment tag {chosen!r}{nearest(str(chosen), TAGS[version])}"
        raise UsageError(f"robot {robot.name}", found, "one of " + ", ".join(TAGS[version]), "--tag TAG")
    rlinf_tag = str(chosen) if version == "n1.5" and chosen in RLINF else ""
    states = _keys(modality, "state", robot.gr00t.policy.state, robot)
    actions = _keys(modality, "action", robot.gr00t.policy.action, robot)
    for section, keys in (("state", states), ("action", actions)):
        width = sum(modality[section][key]["end"] - modality[section][key]["start"] for key in keys)
        if version in _OLD and width > _MOST[section]:
            raise UsageError(
                f"robot {robot.name}",
                f"{', '.join(keys)} are {width} values of {section}",
                f"at most {_MOST[section]} for GR00T {version.upper()}",
                f"choose some with gr00t.policy.{section} in a robot manifest of your own",
            )
    relative = tuple(key for key in robot.gr00t.relative if key in actions and key in modality["state"])
    return Gr00tTraining(
        version,
        _trained_as(rlinf_tag) if rlinf_tag else str(chosen),
        dataset.root.absolute(),
        tuple(modality["video"]),
        states,
        actions,
        () if version in _OLD else relative,
        _language(modality.get("annotation")),
        rlinf_tag=rlinf_tag,
    )


def _trained_as(tag: str) -> str:
    """Return the tag of NVIDIA's N1.5 that trains the projector of one of RLinf's."""
    for known, projector in _NVIDIA.items():
        if projector == RLINF[tag]:
            return known
    trained = ", ".join(f"{known} {projector}" for known, projector in _NVIDIA.items())
    raise UsageError(
        f"--tag {tag}",
        f"is projector {RLINF[tag]} in RLinf, which no tag of NVIDIA's GR00T N1.5 trains ({trained})",
        "one of " + ", ".join(one for one, projector in RLINF.items() if projector in _NVIDIA.values()),
        "--tag libero_franka for LIBERO; another needs a checkout with the tag in gr00t/data/embodiment_tags.py",
    )


def _keys(modality: Mapping[str, Any], section: str, wanted: Sequence[str] | None, robot: RobotManifest) -> Any:
    """Return the keys that are wanted and there; without any of the robot's, this is the data of another one."""
    entries = modality[section]
    widths = {key: len(joints) for key, joints in robot.groups.items()}
    widths |= {key: part.end - part.start for key, part in getattr(robot.gr00t.parts, section).items()}
    keys = tuple(key for key in (wanted or entries) if key in entries)
    if not widths.keys() & set(keys):
        found = f"{MODALITY} has no {section} of {', '.join(wanted or widths)}"
        raise UsageError(f"robot {robot.name}", found, "one of " + ", ".join(entries), "--robot NAME")
    for key in keys:
        width = entries[key]["end"] - entries[key]["start"]
        if width != widths.get(key, width):
            found = f"{section}.{key} of {MODALITY} has {width} values"
            raise UsageError(f"robot {robot.name}", found, f"{widths[key]}, as this robot has", "--robot NAME")
    return keys


def _language(annotations: Mapping[str, Any] | None) -> str:
    """Return the annotation that is the instruction: the first with a name that says so, or else the first."""
    if not annotations:
        raise UsageError(MODALITY, "has no annotation", "human.task_description or another key of the instruction")
    return next((key for key in annotations if "task_description" in key), next(iter(annotations)))
