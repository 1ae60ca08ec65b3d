"""Configuration and commands for openpi (src/openpi/training/config.py and scripts/ of openpi at 15a9616)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ..lerobot.datasets.dataset import Dataset
from .job_scripts import TRAIN, in_comments, option_lines, sbatch, script

CONFIG = "train_config.py"
_STATES, _ACTIONS = ("observation.state", "state"), ("action", "actions")
_DROID = (
    *("exterior_image_1_left", "exterior_image_2_left", "wrist_image_left"),
    *("joint_position", "gripper_position", "actions"),
)
# Pictures of ALOHA that openpi knows (policies/aloha_policy.py); a simulated robot has `top` alone.
_ALOHA = {
    "cam_high": ("cam_high", "top"),
    "cam_left_wrist": ("cam_left_wrist",),
    "cam_right_wrist": ("cam_right_wrist",),
}
_ALOHA_JOINTS = (14,)
# Pictures that pi0 sees, and the names of its inputs as in openpi's LiberoInputs.
_PICTURES = {
    "base_0_rgb": "observation/image",
    "left_wrist_0_rgb": "observation/wrist_image",
    "right_wrist_0_rgb": "observation/right_wrist_image",
}


@dataclass(frozen=True, slots=True)
class OpenpiTraining:
    """One training of pi0.

    Attributes:
        dataset: What is trained on, of version 2.1.
        repo_id: Its name for openpi, which looks for it in HF_LEROBOT_HOME.
        name: Of the configuration.
    """

    dataset: Dataset
    repo_id: str
    name: str


def openpi_training(dataset: Dataset) -> OpenpiTraining:
    """Name a training after the folder of its dataset."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", dataset.root.absolute().name).strip("-.") or "dataset"
    return OpenpiTraining(dataset, f"local/{name}", "pi0_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"))


def openpi_files(training: OpenpiTraining, folder: Path) -> dict[str, str]:
    """Return file name to content.

    Args:
        training: What is trained.
        folder: Where the files will be.
    """
    return {
        CONFIG: _config(training),
        TRAIN: _command(training),
        "train.sbatch": sbatch(training.name, folder.absolute() / TRAIN),
    }


def _config(training: OpenpiTraining) -> str:
    definitions, data = _data(training.dataset)
    return f'''"""pi0 on {_title(training)}, for openpi. `{TRAIN}` beside this file runs it:

    python {CONFIG} compute_norm_stats --config-name {training.name}
    python {CONFIG} train {training.name} --exp-name NAME
"""

import dataclasses
import os
import runpy
import sys

import numpy as np
from openpi import transforms
from openpi.models import model, pi0_config
from openpi.training import config, weight_loaders

# openpi looks for the dataset in $HF_LEROBOT_HOME/{training.repo_id}, and takes no other place.
REPO_ID = "{training.repo_id}"
{definitions}
CONFIG = config.TrainConfig(
    name="{training.name}",
    # pi0.5: pi0_config.Pi0Config(pi05=True), and pi05_base below.
    model=pi0_config.Pi0Config(),
    data={data},
    weight_loader=weight_loaders.CheckpointWeightLoader("gs://openpi-assets/checkpoints/pi0_base/params"),
    batch_size=32,  # in all; a multiple of the number of GPUs
    num_workers=2,
    num_train_steps=30_000,
    save_interval=1_000,
    keep_period=5_000,
    wandb_enabled=False,  # openpi has it on
)

if __name__ == "__main__":
    # openpi knows configurations by name only: this one gets a name, then its script runs as it is. The workers of
    # its data loader import this file by its name.
    from {Path(CONFIG).stem} import CONFIG

    config._CONFIGS_DICT[CONFIG.name] = CONFIG
    script = os.path.join(os.environ["OPENPI"], "scripts", sys.argv.pop(1) + ".py")
    runpy.run_path(script, run_name="__main__")
'''


def _title(training: OpenpiTraining) -> str:
    return in_comments(training.dataset.root.absolute().name)


def _data(dataset: Dataset) -> tuple[str, str]:
    """Return what must be defined, and the data configuration: openpi's own for DROID and ALOHA, else a new one."""
    features, base = dataset.features, "repo_id=REPO_ID, base_config=config.DataConfig(prompt_from_task=True)"
    if all(key in features for key in _DROID):
        return "", f"config.LeRobotDROIDDataConfig({base})"
    state = next(key for key in _STATES if key in features)
    action = next(key for key in _ACTIONS if key in features)
    aloha = {
        name: key
        for name, keys in _ALOHA.items()
        for key in [f"observation.images.{key}" for key in keys if f"observation.images.{key}" in dataset.cameras][:1]
    }
    if "cam_high" in aloha and features[state].shape == features[action].shape == _ALOHA_JOINTS:
        columns = {"images": aloha, "state": state, "actions": action, "prompt": "prompt"}
        about = "# Joints of ALOHA's own robot: openpi turns them as pi0 learned them, and trains their changes.\n"
        return f"{about}COLUMNS = {_python(columns)}\n", _ALOHA_DATA.format(base=base)
    seen = dict(zip(_PICTURES, _in_slots(list(dataset.cameras)), strict=False))
    columns = {_PICTURES[picture]: key for picture, key in seen.items()}
    columns |= {"observation/state": state, "actions": action, "prompt": "prompt"}
    pictures = {picture: name if picture in seen else "" for picture, name in _PICTURES.items()}
    unused = [key for key in dataset.cameras if key not in seen.values()]
    notes = f"# Not used, since pi0 sees three: {in_comments(', '.join(unused))}.\n" if unused else ""
    width = features[action].shape[0]
    definitions = _OWN.format(
        columns=_python(columns), notes=notes, pictures=_python(pictures), width=width, delta=[False] * width
    )
    return definitions, f"RobotData({base})"


def _in_slots(seen: Sequence[str]) -> list[str]:
    """Return cameras as pi0 has them: one of the scene, then those of the left and the right wrist."""
    wrists = [key for key in seen if re.search("wrist|hand|gripper", key, re.IGNORECASE)]
    wrists.sort(key=lambda key: "right" in key.lower())
    others = [key for key in seen if key not in wrists]
    return [*others[:1], *wrists, *others[1:]]


def _python(value: object) -> str:
    return json.dumps(value, indent=4)  # texts with JSON's escapes are Python's too


_ALOHA_DATA = """config.LeRobotAlohaDataConfig(
        {base},
        repack_transforms=transforms.Group(inputs=[transforms.RepackTransform(COLUMNS)]),
        action_sequence_keys=(COLUMNS["actions"],),
    )"""
_OWN = """# Inputs of the policy, also at inference, and the columns that they are trained from.
COLUMNS = {columns}
# Pictures of pi0, and the inputs that they come from; without one it is black, and masked.
{notes}PICTURES = {pictures}
ACTION_DIM = {width}  # the policy answers with so many of the model's 32 values
# pi0 learned targets of joints as changes from the state. True: this value of an action is such a target, for the
# value of the state at the same place. Actions that are changes already, and grippers, stay False.
DELTA = {delta}


def picture(image):
    image = np.asarray(image)
    if np.issubdtype(image.dtype, np.floating):  # LeRobot gives 0 to 1, channels first
        image = (255 * image).astype(np.uint8)
    return np.moveaxis(image, 0, -1) if image.shape[0] == 3 else image


@dataclasses.dataclass(frozen=True)
class RobotInputs(transforms.DataTransformFn):
    model_type: model.ModelType

    def __call__(self, data):
        seen = {{name: picture(data[key]) for name, key in PICTURES.items() if key}}
        black = np.zeros_like(next(iter(seen.values())))
        all_seen = self.model_type == model.ModelType.PI0_FAST  # which masks nothing
        return {{
            "state": np.asarray(data["observation/state"]),
            "image": {{name: seen.get(name, black) for name in PICTURES}},
            "image_mask": {{name: np.bool_(all_seen or name in seen) for name in PICTURES}},
            **({{"actions": np.array(data["actions"])}} if "actions" in data else {{}}),
            **({{"prompt": data["prompt"]}} if "prompt" in data else {{}}),
        }}


@dataclasses.dataclass(frozen=True)
class RobotOutputs(transforms.DataTransformFn):
    def __call__(self, data):
        return {{"actions": np.asarray(data["actions"][:, :ACTION_DIM])}}


@dataclasses.dataclass(frozen=True)
class RobotData(config.DataConfigFactory):
    def create(self, assets_dirs, model_config):
        data = transforms.Group(inputs=[RobotInputs(model_config.model_type)], outputs=[RobotOutputs()])
        if any(DELTA):
            data = data.push(inputs=[transforms.DeltaActions(DELTA)], outputs=[transforms.AbsoluteActions(DELTA)])
        return dataclasses.replace(
            self.create_base_config(assets_dirs, model_config),
            repack_transforms=transforms.Group(inputs=[transforms.RepackTransform(COLUMNS)]),
            data_transforms=data,
            model_transforms=config.ModelTransformFactory()(model_config),
            action_sequence_keys=(COLUMNS["actions"],),
        )

"""


def _command(training: OpenpiTraining) -> str:
    options = {
        "--exp-name": quote(training.repo_id.partition("/")[2]),
        "--checkpoint-base-dir": '"$output"',
    }
    comments = [
        f"Trains pi0 on {_title(training)} with openpi; further options go through,",
        "such as --num-train-steps 20000, --overwrite or --resume.",
        "Variables: OPENPI=CHECKOUT, OUTPUT_DIR=DIR.",
    ]
    body = f"""here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
: "${{OPENPI:?Set OPENPI to a checkout of openpi, and activate its Python}}"
OPENPI=$(cd "$OPENPI" && pwd)
export OPENPI
output=${{OUTPUT_DIR:-$here/checkpoints}}
case $output in /*) ;; *) output=$PWD/$output ;; esac
# openpi looks for {training.repo_id} here.
export HF_LEROBOT_HOME=$here/lerobot
mkdir -p "$HF_LEROBOT_HOME/local"
ln -sfn {quote(str(training.dataset.root.absolute()))} "$HF_LEROBOT_HOME/{training.repo_id}"
cd "$here"
if [ ! -e assets/{training.name}/{training.repo_id}/norm_stats.json ]; then
    python {CONFIG} compute_norm_stats --config-name {training.name}
fi
exec python {CONFIG} train {training.name} \\
{option_lines(options)} \\
    "$@"
"""
    return script(comments, body)
