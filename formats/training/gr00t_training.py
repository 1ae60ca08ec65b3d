"""GR00T fine-tuning: configuration and command for a dataset, a robot and a release."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from ...core.errors import UsageError, nearest
from ...manifests.robot import Gr00tVersion, RobotManifest
from ..lerobot.datasets.dataset_v21 import DatasetV21
from ..lerobot.gr00t.modality import MODALITY
from .job_scripts import in_comments, option_lines, sbatch, script

# Embodiment tags of each release (gr00t/data/embodiment_tags.py, gr00t/data/schema.py), those that RLinf adds to N1.5.
_RLINF = ("libero_franka", "isaaclab_franka", "maniskill_widowx", "libero_panda", "robocasa_panda_omron")
TAGS: Mapping[Gr00tVersion, Sequence[str]] = {
    "n1": ("gr1", "new_embodiment"),
    "n1.5": ("gr1", "oxe_droid", "agibot_genie1", "new_embodiment", *_RLINF),
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

CONFIG = "modality_config.py"
FINETUNE = "finetune.sh"
_MODELS: Mapping[Gr00tVersion, str] = {
    "n1": "nvidia/GR00T-N1-2B",
    "n1.5": "nvidia/GR00T-N1.5-3B",
    "n1.6": "nvidia/GR00T-N1.6-3B",
    "n1.7": "nvidia/GR00T-N1.7-3B",
}


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
    """

    version: Gr00tVersion
    tag: str
    dataset: Path
    video: tuple[str, ...]
    state: tuple[str, ...]
    action: tuple[str, ...]
    relative: tuple[str, ...]
    language: str

    @property
    def is_old(self) -> bool:
        """True for N1 and N1.5, which are configured otherwise than N1.6 and N1.7."""
        return self.version in _OLD


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
        str(chosen),
        dataset.root.absolute(),
        tuple(modality["video"]),
        states,
        actions,
        () if version in _OLD else relative,
        _language(modality.get("annotation")),
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


def gr00t_files(training: Gr00tTraining, folder: Path) -> dict[str, str]:
    """Return file name to content.

    Args:
        training: What is trained.
        folder: Where the files will be.
    """
    files = {
        CONFIG: _old_config(training) if training.is_old else _config(training),
        FINETUNE: _command(training),
        "finetune.sbatch": sbatch(f"gr00t-{training.version}", folder.absolute() / FINETUNE),
    }
    if training.relative:
        files["relative_actions.yaml"] = _relative(training)
    return files


def _about(training: Gr00tTraining) -> str:
    return f"How GR00T {training.version.upper()} reads {_name(training)}, after its meta/modality.json."


def _name(training: Gr00tTraining) -> str:
    return in_comments(training.dataset.name)


def _texts(names: Iterable[str], prefix: str = "") -> str:
    """Return a list of Python texts; JSON's escapes are Python's too."""
    return json.dumps([prefix + name for name in names])


def _config(training: Gr00tTraining) -> str:
    kinds = {key: "RELATIVE" if key in training.relative else "ABSOLUTE" for key in training.action}
    actions = "".join(f"    {json.dumps(key)}: ActionRepresentation.{kind},\n" for key, kind in kinds.items())
    return f'''"""{_about(training)}"""

from gr00t.configs.data.embodiment_configs import MODALITY_CONFIGS, register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import ActionConfig, ActionFormat, ActionRepresentation, ActionType, ModalityConfig

TAG = EmbodimentTag({json.dumps(training.tag)})
HORIZON = {HORIZON}  # actions that are predicted at a time
# RELATIVE: learned as the difference from the state of the same name; ABSOLUTE: as recorded.
ACTIONS = {{
{actions}}}

MODALITY_CONFIGS.pop(TAG.value, None)  # what GR00T has for this tag is for another dataset
register_modality_config(
    {{
        "video": ModalityConfig(delta_indices=[0], modality_keys={_texts(training.video)}),
        "state": ModalityConfig(delta_indices=[0], modality_keys={_texts(training.state)}),
        "action": ModalityConfig(
            delta_indices=list(range(HORIZON)),
            modality_keys=list(ACTIONS),
            action_configs=[
                ActionConfig(rep=rep, type=ActionType.NON_EEF, format=ActionFormat.DEFAULT) for rep in ACTIONS.values()
            ],
        ),
        "language": ModalityConfig(delta_indices=[0], modality_keys={_texts([training.language], "annotation.")}),
    }},
    embodiment_tag=TAG,
)
'''


def _old_config(training: Gr00tTraining) -> str:
    """Return a data configuration; how pictures and numbers are prepared is taken over from GR00T's So100DataConfig."""
    text = f'''"""{_about(training)}"""
{_RUN_IMPORTS if training.version == "n1" else ""}
from gr00t.experiment.data_config import {"DATA_CONFIG_MAP, " if training.version == "n1" else ""}So100DataConfig


class RobotConfig(So100DataConfig):
    video_keys = {_texts(training.video, "video.")}
    state_keys = {_texts(training.state, "state.")}
    action_keys = {_texts(training.action, "action.")}
    language_keys = {_texts([training.language], "annotation.")}
    observation_indices = [0]
    action_indices = list(range({HORIZON}))  # actions that are predicted at a time
'''
    return text + (_RUN if training.version == "n1" else "")


_RUN_IMPORTS = """
import os
import runpy
"""
_RUN = """

if __name__ == "__main__":
    # GR00T N1 knows configurations by name only: this one gets a name, then its script runs as it is.
    DATA_CONFIG_MAP["robot"] = RobotConfig()
    runpy.run_path(os.path.join(os.environ["GR00T"], "scripts", "gr00t_finetune.py"), run_name="__main__")
"""


def _command(training: Gr00tTraining) -> str:
    release = training.version.upper()
    body = f"""here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
: "${{GR00T:?Set GR00T to a checkout of Isaac-GR00T ({release}), and activate its Python}}"
GR00T=$(cd "$GR00T" && pwd)
gpus=${{NUM_GPUS:-1}}
"""
    options = {
        "--dataset-path": quote(str(training.dataset)),
        "--base-model-path": _MODELS[training.version],
        "--num-gpus": '"$gpus"',
        "--output-dir": '"${OUTPUT_DIR:-$here/checkpoints}"',
    }
    if training.is_old:
        body += 'cd "$here"\n'
        named = training.version == "n1"
        options["--data-config"] = "robot" if named else "modality_config:RobotConfig"
        options["--embodiment-tag"] = training.tag
        if not named:
            options["--video-backend"] = "decord"  # torchcodec takes frames one too early where times are in float32
        body += _N1 if named else 'exec python "$GR00T/scripts/gr00t_finetune.py"'
    else:
        # The command line of N1.6 takes tags by the names of their members, N1.7 either way.
        tag = training.tag.upper() if training.version == "n1.6" else training.tag
        options |= {"--modality-config-path": f'"$here/{CONFIG}"', "--embodiment-tag": tag}
        body += _LAUNCH
    comments = [
        f"Fine-tunes GR00T {release} on {_name(training)}; further options go through, such as --max-steps 20000."
    ]
    return script(comments, f'{body} \\\n{option_lines(options)} \\\n    "$@"\n')


_N1 = """export GR00T
if [ "$gpus" = 1 ]; then
    launch=(python)
else
    export IS_TORCHRUN=1
    launch=(torchrun --standalone --nproc_per_node="$gpus")
fi
exec "${launch[@]}" "$here/modality_config.py\""""
_LAUNCH = """cd "$GR00T"
if [ "$gpus" = 1 ]; then
    export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}
    launch=(python)
else
    launch=(torchrun --nproc_per_node="$gpus" --master_port="${MASTER_PORT:-29500}")
fi
exec "${launch[@]}" gr00t/experiment/launch_finetune.py"""


def _relative(training: Gr00tTraining) -> str:
    """Return what `robotrove stats --relative` takes."""
    kinds = {key: {"rep": "RELATIVE" if key in training.relative else "ABSOLUTE"} for key in training.action}
    about = f"# robotrove stats {_name(training)} --relative THIS_FILE writes meta/relative_stats.json.\n"
    return about + yaml.safe_dump({"action_horizon": HORIZON, "actions": kinds}, sort_keys=False)
