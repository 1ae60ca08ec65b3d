"""Makes a small ACT for each dataset, and a step with it, with the LeRobot of this environment.

    python policy.py ROOT [ROOT …]

Prints a line of JSON for each: what went wrong, or an empty text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lerobot.configs.types import FeatureType
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from torch.utils.data import DataLoader

try:
    from lerobot.datasets.utils import dataset_to_policy_features
except ImportError:
    from lerobot.utils.feature_utils import dataset_to_policy_features

STEPS = 4
SMALL = {"dim_model": 32, "n_heads": 2, "dim_feedforward": 32, "use_vae": False, "pretrained_backbone_weights": None}


def step(root: Path) -> None:
    """Do what lerobot-train does first; raises what it raises."""
    seen = LeRobotDataset("nobody/nowhere", root=root)
    features = dataset_to_policy_features(seen.meta.features)
    outputs = {key: feature for key, feature in features.items() if feature.type is FeatureType.ACTION}
    inputs = {key: feature for key, feature in features.items() if key not in outputs}
    config = ACTConfig(
        input_features=inputs, output_features=outputs, chunk_size=STEPS, n_action_steps=STEPS, device="cpu", **SMALL
    )
    config.validate_features()
    policy = ACTPolicy(config, dataset_stats=seen.meta.stats)
    times = {"action": [at / seen.fps for at in range(STEPS)]}
    batch = next(iter(DataLoader(LeRobotDataset("nobody/nowhere", root=root, delta_timestamps=times), batch_size=2)))
    policy.forward(batch)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        problem = ""
        try:
            step(Path(argument))
        except Exception as exc:
            problem = f"{type(exc).__name__}: {exc}"
        print(json.dumps(problem))
