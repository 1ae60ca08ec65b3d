"""openpi, which reads datasets with a LeRobot of the time of v2.1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ..check import Check, Consumer, Diagnostic
from .libero import RecordedGripperCheck

_DIM = 32
# Data configurations, and the columns that their RepackTransform reads; prompt is made from the task.
CONFIGS: Mapping[str, tuple[str, ...]] = {
    "LeRobotAlohaDataConfig": ("observation.images.top", "observation.state", "action"),
    "LeRobotAlohaDataConfig of pi0_aloha_pen_uncap": (
        "observation.images.cam_high",
        "observation.images.cam_left_wrist",
        "observation.images.cam_right_wrist",
        "observation.state",
        "action",
    ),
    "LeRobotLiberoDataConfig": ("image", "wrist_image", "state", "actions"),
    "LeRobotDROIDDataConfig": (
        "exterior_image_1_left",
        "exterior_image_2_left",
        "wrist_image_left",
        "joint_position",
        "gripper_position",
        "actions",
    ),
}
_STATES, _ACTIONS = ("observation.state", "state"), ("action", "actions")


class ColumnsCheck(Check[Dataset]):
    """One of its data configurations finds its columns, and they fit into its models.

    src/openpi/training/config.py at 15a9616: RepackTransform and action_sequence_keys, which are
    `actions` by default; models/pi0_config.py and transforms.py: action_dim is 32, narrower vectors
    are filled up, wider ones are not cut. AlohaInputs flips 14 joints.
    """

    name = "columns"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what has to be told to openpi, and what it cannot take."""
        features = dataset.features
        for key in (*_STATES, *_ACTIONS):
            if key in features and features[key].shape[0] > _DIM:
                told = f"is {features[key]}, but the models of openpi take at most {_DIM} values"
                fix = "`joint_remapper` among the steps keeps fewer joints"
                yield self.error(f"{paths_v30.INFO}, feature {key}", f"{told}; {fix}")
        missing = {name: [key for key in keys if key not in features] for name, keys in CONFIGS.items()}
        name = min(missing, key=lambda name: len(missing[name]) / len(CONFIGS[name]))
        if missing[name]:
            told = f"no data configuration of openpi finds its columns ({name} lacks {', '.join(missing[name])})"
            repack = _repack(dataset)
            if repack is None:
                need = "a state, an action and a camera"
                yield self.error(
                    paths_v30.INFO, f"{told}, and the dataset lacks {need}; `source: {{columns: …}}` names them"
                )
            else:
                yield self.warning(paths_v30.INFO, f"{told}; give {repack}")
        elif "Aloha" in name:
            for key in ("observation.state", "action"):
                if features[key].shape != (14,):
                    told = f"is {features[key]} instead of 14 values, which {name} has"
                    fix = "give adapt_to_pi=False and use_delta_joint_actions=False"
                    yield self.error(f"{paths_v30.INFO}, feature {key}", f"{told}; {fix}")


class PromptCheck(Check[Dataset]):
    """Every task is a text with something in it: with prompt_from_task it is the prompt.

    PromptFromLeRobotTask in src/openpi/transforms.py.
    """

    name = "prompt"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield tasks that say nothing."""
        for number, task in enumerate(dataset.task_texts):
            if not task.strip():
                told = "is empty, and openpi would take it for the prompt"
                fix = "give default_prompt, or `source: {task: TEXT}` in the pipeline"
                yield self.warning(f"{dataset.tasks_path}, task {number}", f"{told}; {fix}")


def _repack(dataset: Dataset) -> str | None:
    """Return what a configuration needs for these columns; None if there is no state, action or camera."""
    features = dataset.features
    seen = dataset.cameras
    state = next((key for key in _STATES if key in features), None)
    action = next((key for key in _ACTIONS if key in features), None)
    if not (seen and state and action):
        return None
    mapping = dict(zip(("observation/image", "observation/wrist_image"), seen, strict=False))
    mapping |= {"observation/state": state, "actions": action, "prompt": "prompt"}
    base = f"base_config=DataConfig(prompt_from_task=True, action_sequence_keys=({action!r},))"
    return f"a copy of LeRobotLiberoDataConfig RepackTransform({json.dumps(mapping)}) and {base}"


OPENPI = Consumer("openpi", ("v2.1",), (ColumnsCheck(), PromptCheck(), RecordedGripperCheck()))
