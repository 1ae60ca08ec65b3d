"""Configuration of GR00T for one fine-tuning: modality_config.py, and the relative actions for robotrove stats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from shlex import quote

import yaml

from ...core.errors import printable
from ...manifests.robot import Gr00tVersion
from .gr00t_training import Gr00tTraining
from .job_scripts import in_comments

CONFIG = "modality_config.py"
RELATIVE = "relative_actions.yaml"


def config_files(training: Gr00tTraining) -> dict[str, str]:
    """Return file name to content."""
    files = {CONFIG: _old_config(training) if training.is_old else _config(training)}
    if training.relative:
        files[RELATIVE] = _relative(training)
    return files


def _about(training: Gr00tTraining) -> str:
    notes = "".join(f"\n- {note}" for note in training.notes)
    release = training.version.upper()
    return f'''"""How GR00T {release} reads {_name(training)}, after its meta/modality.json.

Configuration: {training.source}.{notes}
"""'''


def _name(training: Gr00tTraining) -> str:
    return in_comments(training.dataset.name)


def _texts(names: Iterable[str], prefix: str = "") -> str:
    """Return a list of Python texts; JSON's escapes are Python's too."""
    return json.dumps([prefix + name for name in names])


def _config(training: Gr00tTraining) -> str:
    kinds = {key: "RELATIVE" if key in training.relative else "ABSOLUTE" for key in training.action}
    actions = "".join(f"    {json.dumps(key)}: ActionRepresentation.{kind},\n" for key, kind in kinds.items())
    sin_cos = f", sin_cos_embedding_keys={_texts(training.sin_cos)}" if training.sin_cos else ""
    return f"""{_about(training)}

from gr00t.configs.data.embodiment_configs import MODALITY_CONFIGS, register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import ActionConfig, ActionFormat, ActionRepresentation, ActionType, ModalityConfig

TAG = EmbodimentTag({json.dumps(training.tag)})
HORIZON = {training.horizon}  # actions that are predicted at a time
# RELATIVE: learned as the difference from the state of the same name; ABSOLUTE: as recorded.
ACTIONS = {{
{actions}}}

MODALITY_CONFIGS.pop(TAG.value, None)  # what GR00T has for this tag is for another dataset
register_modality_config(
    {{
        "video": ModalityConfig(delta_indices=[0], modality_keys={_texts(training.video)}),
        "state": ModalityConfig(delta_indices=[0], modality_keys={_texts(training.state)}{sin_cos}),
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
"""


def _old_config(training: Gr00tTraining) -> str:
    """Return a data configuration, derived from GR00T's class that prepares pictures and numbers in the same way.

    gr1_arms_only of N1 and fourier_gr1_arms_only of N1.5 pass the state through StateActionSinCosTransform, so100
    scales it by minimum and maximum; all scale actions so.
    """
    base = _SIN_COS[training.version] if training.sin_cos else "So100DataConfig"
    named = training.version == "n1"
    text = f"""{_about(training)}
{_RUN_IMPORTS if named else ""}
from gr00t.experiment.data_config import {"DATA_CONFIG_MAP, " if named else ""}{base}


class RobotConfig({base}):
    video_keys = {_texts(training.video, "video.")}
    state_keys = {_texts(training.state, "state.")}
    action_keys = {_texts(training.action, "action.")}
    language_keys = {_texts([training.language], "annotation.")}
    observation_indices = [0]
    action_indices = list(range({training.horizon}))  # actions that are predicted at a time
"""
    return text + (_RUN if named else "")


_SIN_COS: Mapping[Gr00tVersion, str] = {"n1": "Gr1ArmsOnlyDataConfig", "n1.5": "FourierGr1ArmsOnlyDataConfig"}
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


def _relative(training: Gr00tTraining) -> str:
    """Return what `robotrove stats --relative` takes."""
    kinds = {key: {"rep": "RELATIVE" if key in training.relative else "ABSOLUTE"} for key in training.action}
    path = quote(printable(str(training.dataset)))
    about = f"# To write meta/relative_stats.json: robotrove stats {path} --relative {RELATIVE}\n"
    return about + yaml.safe_dump({"action_horizon": training.horizon, "actions": kinds}, sort_keys=False)
