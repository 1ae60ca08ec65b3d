"""Command for lerobot-train (lerobot/configs/train.py of LeRobot 0.3.3, 0.4.4 and 0.6.1)."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote

from ..lerobot.datasets.dataset import Dataset
from .job_scripts import in_comments, option_lines, sbatch, script

TRAIN = "train.sh"
_READS = {"v3.0": "0.4.0 or later", "v2.1": "0.3.3"}


def lerobot_files(dataset: Dataset, policy: str, folder: Path) -> dict[str, str]:
    """Return file name to content.

    Args:
        dataset: What is trained on.
        policy: Type of policy, such as act, diffusion, smolvla, pi0.
        folder: Where the files will be.
    """
    root = dataset.root.absolute()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "dataset"
    options = {
        "--dataset.repo_id=": f"local/{name}",  # only a name: the root says where the dataset is
        "--dataset.root=": quote(str(root)),
        "--policy.type=": quote(policy),
        "--policy.push_to_hub=": "false",
        "--job_name=": quote(f"{policy}-{name}"),
        "--output_dir=": '"${OUTPUT_DIR:-$here/checkpoints}"',
    }
    body = 'here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)\nexec lerobot-train \\\n'
    what = f"{policy} on {in_comments(root.name)} with LeRobot {_READS[dataset.version]}"
    about = f"Trains {what}; further options go through, such as --steps=20000."
    return {
        TRAIN: script([about], f'{body}{option_lines(options)} \\\n    "$@"\n'),
        "train.sbatch": sbatch(f"{policy}-{name}", folder.absolute() / TRAIN),
    }
