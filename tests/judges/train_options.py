"""Stands in for lerobot-train: reads its options with the LeRobot of this environment, and trains nothing.

    python train_options.py OPTION…

Prints what the options mean, and the defaults of others, as a line of JSON.
"""

# No `from __future__ import annotations`: LeRobot takes the class of the options from the annotation itself.
import dataclasses
import json

import lerobot.policies  # noqa: F401 - makes the types of policies known
from lerobot.configs import parser
from lerobot.configs.train import TrainPipelineConfig

DEFAULTS = ("steps", "batch_size", "num_workers", "save_freq", "eval_freq", "env_eval_freq")


@parser.wrap()
def show(config: TrainPipelineConfig) -> None:
    """Print the configuration as lerobot-train would use it."""
    config.validate()
    known = {field.name: field.default for field in dataclasses.fields(config)}
    print(
        json.dumps(
            {
                "repo_id": config.dataset.repo_id,
                "root": config.dataset.root,
                "policy": config.policy.type,
                "pretrained": str(getattr(config.policy, "pretrained_path", None)),
                "push": config.policy.push_to_hub,
                "job": config.job_name,
                "output": str(config.output_dir),
                "rename_map": getattr(config, "rename_map", None),
                "wandb": config.wandb.enable,
                "defaults": {name: known[name] for name in DEFAULTS if name in known},
            }
        )
    )


if __name__ == "__main__":
    show()
