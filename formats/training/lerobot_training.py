"""Command for lerobot-train (lerobot/configs/train.py of LeRobot 0.3.3, 0.4.4 and 0.6.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from ...core.errors import UsageError, explained, nearest
from ..lerobot.datasets.dataset import Dataset
from .job_scripts import TRAIN, in_comments, option_lines, sbatch, script

_READS = {"v3.0": "0.4.0 or later", "v2.1": "0.3.3"}
# 0.6.1 has another name for it; without an environment neither has an effect.
_EVALUATION = {"v3.0": "--eval_freq=20000 in 0.4, --env_eval_freq=20000 in 0.6.1", "v2.1": "--eval_freq=20000"}
_CONFIG = "config.json"
_OBSERVATION = "observation."
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy to train: a new one, or a pretrained one.

    Attributes:
        name: Its type, such as act, diffusion, smolvla, pi0; of a pretrained one the last part of its place.
        path: Place of a pretrained one: a folder, or OWNER/NAME of the Hub.
        renames: Observation of the dataset to input of the pretrained policy.
    """

    name: str
    path: str | None = None
    renames: Mapping[str, str] = field(default_factory=dict)


def pretrained_policy(dataset: Dataset, path: str, renames: Mapping[str, str]) -> Policy:
    """Choose the names that cameras get for a pretrained policy; LeRobot refuses a policy with other cameras.

    Cameras without a name in `renames` are paired with the policy's in the order of both, if the policy is in a
    local folder (validate_visual_features_consistency in lerobot/policies/utils.py).

    Args:
        dataset: What is trained on.
        path: A folder with the policy's config.json, or OWNER/NAME of the Hub.
        renames: Observation of the dataset to input of the policy.

    Raises:
        UsageError: If the folder has no policy, a name is unknown, or this LeRobot cannot rename.
    """
    inputs = _inputs(path)
    for old, new in renames.items():
        if old not in dataset.features or not old.startswith(_OBSERVATION):
            found = f"the dataset has no observation {old!r}{nearest(old, dataset.features)}"
            raise UsageError(f"--rename {old}={new}", found, ", ".join(dataset.cameras), "--rename KEY=KEY")
        if inputs and new not in inputs:
            found = f"the policy has no input {new!r}{nearest(new, inputs)}"
            raise UsageError(f"--rename {old}={new}", found, ", ".join(inputs), "--rename KEY=KEY")
        if inputs and (inputs[new] == "VISUAL") != (old in dataset.cameras):
            found = f"{new} of the policy is {inputs[new]}, and {old} is {dataset.features[old]}"
            raise UsageError(f"--rename {old}={new}", found, "a camera for a camera", "--rename KEY=KEY")
    if len(set(renames.values())) < len(renames):
        raise UsageError("--rename", "gives two observations one name", "a name for each")
    seen = [key for key, kind in inputs.items() if kind == "VISUAL"]
    # Only observations get to the step that renames (RenameObservationsProcessorStep).
    kept = [key for key in dataset.cameras if key.startswith(_OBSERVATION) and key not in renames]
    free = [key for key in seen if key not in kept and key not in renames.values()]
    paired = {**renames, **dict(zip([key for key in kept if key not in seen], free, strict=False))}
    if paired and dataset.version == "v2.1":
        shown = ", ".join(f"{old} as {new}" for old, new in paired.items())
        raise UsageError(
            str(dataset.root),
            f"is v2.1, for LeRobot 0.3.3, which cannot rename cameras; the policy reads {shown}",
            "a dataset of version 3.0, for LeRobot 0.4.0 or later, or cameras with the policy's names",
            f"robotrove convert {quote(str(dataset.root))} --to v3.0 -o NEW",
        )
    return Policy(Path(path).name, str(Path(path).absolute()) if Path(path).exists() else path, paired)


def _inputs(path: str) -> dict[str, str]:
    """Return the kind of each input of a policy in a folder; nothing is known of one on the Hub."""
    folder = Path(path)
    if not folder.exists() and _HUB_ID.fullmatch(path):
        return {}
    try:
        features = json.loads((folder / _CONFIG).read_text("utf-8")).get("input_features") or {}
        return {str(key): str(feature["type"]) for key, feature in features.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as exc:
        raise UsageError(
            str(folder / _CONFIG),
            f"says nothing of a policy: {explained(exc)}",
            "a folder in which LeRobot saved a policy, or OWNER/NAME of the Hub",
            "--pretrained …/checkpoints/last/pretrained_model",
        ) from exc


def lerobot_files(dataset: Dataset, policy: Policy, folder: Path) -> dict[str, str]:
    """Return file name to content.

    Args:
        dataset: What is trained on.
        policy: What is trained.
        folder: Where the files will be.
    """
    root = dataset.root.absolute()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "dataset"
    options = {
        "--dataset.repo_id=": f"local/{name}",  # only a name: the root says where the dataset is
        "--dataset.root=": quote(str(root)),
        # A pretrained policy says its type; lerobot-train refuses both.
        **({"--policy.path=": quote(policy.path)} if policy.path else {"--policy.type=": quote(policy.name)}),
        **({"--rename_map=": quote(json.dumps(dict(policy.renames)))} if policy.renames else {}),
        "--policy.push_to_hub=": "false",
        "--job_name=": quote(f"{policy.name}-{name}"),
        "--output_dir=": '"${OUTPUT_DIR:-$here/checkpoints}"',
    }
    body = 'here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)\nexec lerobot-train \\\n'
    what = f"{in_comments(policy.name)} on {in_comments(root.name)} with LeRobot {_READS[dataset.version]}"
    about = [
        f"Trains {what}; further options go through. Defaults:",
        "  --steps=100000 --batch_size=8 --num_workers=4 --save_freq=20000 --wandb.enable=false",
        f"  with --env.type=…, to evaluate in simulation: {_EVALUATION[dataset.version]}",
        "Variable: OUTPUT_DIR=DIR.",
    ]
    return {
        TRAIN: script(about, f'{body}{option_lines(options)} \\\n    "$@"\n'),
        "train.sbatch": sbatch(f"{policy.name}-{name}", folder.absolute() / TRAIN),
    }
