"""GR00T fine-tuning: configuration and command for a dataset, a robot and a release."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ...core.errors import UsageError, nearest, printable
from ...manifests.robot import HORIZON, Gr00tVersion, Owner, PublishedConfig, RobotManifest
from ..lerobot.datasets.dataset_v21 import DatasetV21
from ..lerobot.gr00t.modality import METADATA, MODALITY
from .job_scripts import in_comments

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
# Values that N1 and N1.5 have room for (GR00TTransform in gr00t/experiment/data_config.py).
_MOST = {"state": 64, "action": 32}
_LONGEST = 50  # actions that checkpoints of N1.6 and N1.7 predict at most (max_action_horizon of their processor)
_OLD: tuple[Gr00tVersion, ...] = ("n1", "n1.5")
# Tags of the pretraining data of N1.6 (gr00t/data/embodiment_tags.py): with override_pretraining_statistics=False its
# processor keeps the statistics of the checkpoint for a tag that the checkpoint has. That these are in
# nvidia/GR00T-N1.6-3B is inferred from the list, not verified.
_PRETRAINED = ("robocasa_panda_omron", "gr1")

# Owner of a configuration; robotrove's own choice is the robot's gr00t.policy and gr00t.relative.
Like: TypeAlias = Owner | Literal["robotrove"]


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
        source: Where the configuration is from, in a sentence.
        notes: Where it differs from its source, and what else its user must know.
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
    source: str = ""
    notes: tuple[str, ...] = ()
    rlinf_tag: str = ""

    @property
    def is_old(self) -> bool:
        """True for N1 and N1.5, which are configured otherwise than N1.6 and N1.7."""
        return self.version in _OLD


def kept_statistics(version: Gr00tVersion, tag: str) -> str:
    """Say that a release normalizes the data of a tag with the statistics of its checkpoint; empty if it does not.

    N1.6 does for the tags of its pretraining; the other releases always use stats.json of the dataset.
    """
    if version != "n1.6" or tag not in _PRETRAINED:
        return ""
    return (
        f"GR00T {version.upper()} keeps the statistics of its checkpoint for tag {tag}: it does not use stats.json and "
        "relative_stats.json of the dataset. To use those: `--tag new_embodiment` of `robotrove handoff gr00t`. (Not "
        "verified: that the checkpoint has this tag is inferred from GR00T's list of pretraining tags.)"
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """Values that replace those of a configuration; None keeps them.

    Attributes:
        tag: Embodiment tag.
        relative: Actions that are learned relative to the state of the same name.
        horizon: Actions predicted at a time.
    """

    tag: str | None = None
    relative: tuple[str, ...] | None = None
    horizon: int | None = None


_KEEP_ALL = Changes()


def gr00t_training(
    dataset: DatasetV21,
    robot: RobotManifest,
    version: Gr00tVersion,
    like: Like | None = None,
    changes: Changes = _KEEP_ALL,
) -> Gr00tTraining:
    """Choose the keys to train GR00T with: those of a published configuration, or else the robot's.

    Args:
        dataset: With a modality.json that the release takes.
        robot: Robot of the recordings.
        version: Release of GR00T.
        like: Owner of the configuration; by default the first that has the release.
        changes: What replaces values of the configuration.

    Raises:
        UsageError: If the dataset has nothing of the robot, keys of it with other numbers of values, or several
            cameras or instructions where the configuration has others; or if the release does not take a value.
    """
    modality = dataset.json(MODALITY)
    published: list[Like] = [one for one, releases in robot.gr00t.like.items() if version in releases]
    owner: Like = like or (published[0] if published else "robotrove")
    wanted = _configuration(robot, version, owner, modality)
    notes: list[str] = []
    states = _keys(modality, "state", wanted.state, robot, notes)
    actions = _keys(modality, "action", wanted.action, robot, notes)
    sin_cos = tuple(key for key in wanted.sin_cos if key in states)
    _check_room(modality, {"state": (*states, *sin_cos), "action": actions}, robot, version)
    tag = _tag(robot, version, changes.tag or wanted.tag)
    rlinf_tag = tag if version == "n1.5" and tag in RLINF else ""
    training = Gr00tTraining(
        version,
        _trained_as(rlinf_tag) if rlinf_tag else tag,
        dataset.root.absolute(),
        _video(modality, wanted, notes),
        states,
        actions,
        _relative(modality, wanted, actions, version, changes.relative),
        _language(modality, wanted, notes),
        sin_cos,
        _horizon(version, changes.horizon or wanted.horizon),
        owner,
        wanted.source,
        rlinf_tag=rlinf_tag,
    )
    return replace(training, notes=(*notes, *_changed(training, wanted, changes), *_of_checkpoint(training)))


def _configuration(
    robot: RobotManifest, version: Gr00tVersion, owner: Like, modality: Mapping[str, Any]
) -> PublishedConfig:
    """Return the configuration of an owner; robotrove's own takes what modality.json has."""
    name = in_comments(robot.name)
    if owner == "robotrove":
        gr00t, (texts, *_) = robot.gr00t, _texts(modality)
        return PublishedConfig(
            source=f"robotrove's choice (gr00t.policy and gr00t.relative of robot {name}), not a published one",
            tag=gr00t.tags.get(version, ""),
            state=gr00t.policy.state or list(modality["state"]),
            action=gr00t.policy.action or list(modality["action"]),
            relative=gr00t.relative,
            video=list(modality["video"]),
            language=texts,
        )
    found = robot.gr00t.like.get(owner, {}).get(version)
    if found is None:
        known = [f"{one} ({', '.join(releases)})" for one, releases in robot.gr00t.like.items()]
        raise UsageError(
            f"robot {name}",
            f"has no configuration of {owner} for GR00T {version.upper()}",
            ", ".join([*known, "robotrove (all releases)"]),
            "--like NAME, or --version of another release",
        )
    return found.model_copy(update={"source": in_comments(found.source)})


def _tag(robot: RobotManifest, version: Gr00tVersion, tag: str) -> str:
    if tag not in TAGS[version]:
        known = f"has no embodiment tag {tag!r}{nearest(tag, TAGS[version])}"
        found = f"GR00T {version.upper()} {known}" if tag else f"names no embodiment tag for GR00T {version.upper()}"
        raise UsageError(f"robot {robot.name}", found, "one of " + ", ".join(TAGS[version]), "--tag TAG")
    return tag


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


def _keys(
    modality: Mapping[str, Any], section: str, wanted: Sequence[str], robot: RobotManifest, notes: list[str]
) -> tuple[str, ...]:
    """Return the keys that are wanted and there; without any of the robot's, this is the data of another one."""
    entries = modality[section]
    widths = {key: len(joints) for key, joints in robot.groups.items()}
    widths |= {key: part.end - part.start for key, part in getattr(robot.gr00t.parts, section).items()}
    keys = tuple(key for key in wanted if key in entries)
    if not widths.keys() & set(keys):
        named = [key for key in wanted if key in widths]
        found = f"{MODALITY} has no {section} of {', '.join(named or widths)}"
        raise UsageError(f"robot {robot.name}", found, "one of " + _listed(entries), "--robot NAME")
    for key in keys:
        width = _width(entries[key])
        if width != widths.get(key, width):
            found = f"{section}.{_listed([key])} of {MODALITY} has {width} values"
            raise UsageError(f"robot {robot.name}", found, f"{widths[key]}, as this robot has", "--robot NAME")
    if missing := [key for key in wanted if key not in entries]:
        notes.append(f"{section} without {_shown(missing)}: {MODALITY} of the dataset has no such key")
    return keys


def _width(entry: Mapping[str, Any]) -> int:
    return int(entry["end"] - entry["start"])


def _check_room(
    modality: Mapping[str, Any],
    seen: Mapping[str, Sequence[str]],
    robot: RobotManifest,
    version: Gr00tVersion,
) -> None:
    """Refuse more values than N1 and N1.5 have room for; a state that is sine and cosine is twice among `seen`."""
    for section, keys in seen.items() if version in _OLD else ():
        width = sum(_width(modality[section][key]) for key in keys)
        if width > _MOST[section]:
            raise UsageError(
                f"robot {robot.name}",
                f"{_listed(dict.fromkeys(keys))} are {width} values of {section}",
                f"at most {_MOST[section]} for GR00T {version.upper()}",
                f"choose some with gr00t.policy.{section} in a robot manifest of your own, and --like robotrove",
            )


def _relative(
    modality: Mapping[str, Any],
    wanted: PublishedConfig,
    actions: Sequence[str],
    version: Gr00tVersion,
    asked: Sequence[str] | None,
) -> tuple[str, ...]:
    """Return the relative actions; those that are asked for must have a state of the same name and width."""
    states = modality["state"]
    if asked is None:
        asked = [] if version in _OLD else [key for key in wanted.relative if key in states]
        return tuple(key for key in actions if key in asked)
    able = [key for key in actions if key in states and _width(states[key]) == _width(modality["action"][key])]
    if asked and version in _OLD:
        found = f"GR00T {version.upper()} has no actions relative to the state"
        raise UsageError("--relative", found, "none, or another release", "--relative none")
    for key in asked:
        if key not in able:
            found = f"{key!r} is not an action with a state of the same name and width{nearest(key, able)}"
            raise UsageError("--relative", found, "none, or some of " + _listed(able), "--relative KEY,KEY")
    return tuple(key for key in actions if key in asked)


def _horizon(version: Gr00tVersion, horizon: int) -> int:
    if version not in _OLD and horizon > _LONGEST:
        found = f"is {horizon}: checkpoints of GR00T {version.upper()} predict fewer actions at a time"
        raise UsageError("--horizon", found, f"at most {_LONGEST}", f"--horizon {_LONGEST}")
    return horizon


def _video(modality: Mapping[str, Any], wanted: PublishedConfig, notes: list[str]) -> tuple[str, ...]:
    """Return the configuration's cameras; the only other camera of the dataset replaces a missing one."""
    others = [key for key in modality["video"] if key not in wanted.video]
    missing = [key for key in wanted.video if key not in modality["video"]]
    if missing and len(others) > 1:
        raise UsageError(
            MODALITY,
            f"has no camera {_listed(missing)}, and several others: {_listed(others)}",
            f"{_listed(wanted.video)}, as {wanted.source}",
            "--like robotrove takes all cameras of the dataset, or rename them in modality.json",
        )
    spare = iter(others)
    cameras = [key if key in modality["video"] else next(spare, None) for key in wanted.video]
    chosen = tuple(key for key in cameras if key is not None)
    if missing:
        notes.append(f"cameras {_shown(chosen)}: the dataset has no {_shown(missing)}")
    return chosen


def _language(modality: Mapping[str, Any], wanted: PublishedConfig, notes: list[str]) -> str:
    """Return the configuration's instruction, or the only one of the dataset."""
    texts = _texts(modality)
    if wanted.language in modality["annotation"]:
        return wanted.language
    if len(texts) > 1:
        raise UsageError(
            MODALITY,
            f"has no annotation {wanted.language}, and several others: {_listed(texts)}",
            f"{wanted.language}, as {wanted.source}",
            f"--like robotrove takes {_listed(texts[:1])}, or rename one in modality.json",
        )
    notes.append(f"instruction {_shown(texts)}: the dataset has no {_shown([wanted.language])}")
    return texts[0]


def _texts(modality: Mapping[str, Any]) -> list[str]:
    """Return the annotations that may be the instruction: those with a name that says so, or else all."""
    annotations = modality.get("annotation")
    if not annotations:
        raise UsageError(MODALITY, "has no annotation", "human.task_description or another key of the instruction")
    return [key for key in annotations if "task_description" in key] or list(annotations)


def _listed(keys: Iterable[str]) -> str:
    """Return names for an error."""
    return printable(", ".join(keys))


def _shown(keys: Iterable[str]) -> str:
    """Return names for a note, which also stands in comments of scripts."""
    return ", ".join(map(in_comments, keys))


def _changed(training: Gr00tTraining, wanted: PublishedConfig, changes: Changes) -> Iterator[str]:
    """Yield a note for each value that is not that of the configuration because its user said so."""
    if changes.tag and wanted.tag not in ("", training.tag):
        yield f"embodiment tag {training.tag} instead of {in_comments(wanted.tag)}"
    if changes.relative is not None and set(training.relative) != set(wanted.relative):
        yield f"relative actions {_shown(training.relative) or 'none'} instead of {_shown(wanted.relative) or 'none'}"
    if changes.horizon and training.horizon != wanted.horizon:
        yield f"{training.horizon} actions at a time instead of {wanted.horizon}"


def _of_checkpoint(training: Gr00tTraining) -> Iterator[str]:
    """Yield a note for each behaviour of the checkpoint that decides about the training."""
    tag = training.tag
    if kept := kept_statistics(training.version, tag):
        yield kept
        if training.relative:
            yield (
                f"relative actions need relative statistics, for tag {tag} those of the checkpoint too: without them "
                "training may fail (not verified). Safe: --relative none, or --tag new_embodiment"
            )
    if training.rlinf_tag:
        yield (
            f"trained as {tag}, which has the projector of RLinf's {training.rlinf_tag}: before RLinf loads the "
            f"checkpoint, copy {METADATA}, which has both tags, over that of the checkpoint"
        )
    if training.sin_cos and not training.is_old:
        yield "sine and cosine work only if the checkpoint's processor has them switched on (not verified)"
