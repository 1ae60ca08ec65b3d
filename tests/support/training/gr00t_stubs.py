"""The parts of GR00T that a configuration uses, without torch: classes and their rules, as in its releases."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

from robotrove.formats.training.gr00t_training import TAGS
from robotrove.manifests.robot import Gr00tVersion


class ActionRepresentation(Enum):
    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class ActionType(Enum):
    EEF = "eef"
    NON_EEF = "non_eef"


class ActionFormat(Enum):
    DEFAULT = "default"


@dataclass
class ActionConfig:
    rep: ActionRepresentation
    type: ActionType
    format: ActionFormat
    state_key: str | None = None


@dataclass
class ModalityConfig:
    """gr00t/data/types.py of N1.6 and N1.7."""

    delta_indices: list[int]
    modality_keys: list[str]
    sin_cos_embedding_keys: list[str] | None = None
    mean_std_embedding_keys: list[str] | None = None
    action_configs: list[ActionConfig] | None = None

    def __post_init__(self) -> None:
        assert self.action_configs is None or len(self.action_configs) == len(self.modality_keys)


def _data_config(state: str) -> type:
    """A class of gr00t/experiment/data_config.py of N1 and N1.5, with what it does to states and actions."""

    def transform(self: Any) -> dict[str, tuple[str, list[str]]]:
        return {"state": (state, self.state_keys), "action": ("min_max", self.action_keys)}

    return type("DataConfig", (), {"transform": transform, "language_keys": ["theirs"], "video_keys": ["theirs"]})


def executed(text: str, version: Gr00tVersion, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run modality_config.py; return what GR00T then reads, in the words of N1.6 for all releases."""
    modules = {name: ModuleType(name) for name in _NEW | _OLD}
    configs: dict[str, Any] = {tag: "theirs" for tag in TAGS[version] if tag != "new_embodiment"}

    def register(config: dict[str, ModalityConfig], embodiment_tag: Enum) -> None:
        assert embodiment_tag.value not in configs, "GR00T refuses a tag that it has a configuration for"
        configs[embodiment_tag.value] = config

    given = {
        "MODALITY_CONFIGS": configs,
        "register_modality_config": register,
        "EmbodimentTag": Enum("EmbodimentTag", {tag.upper(): tag for tag in TAGS[version]}),
        **{one.__name__: one for one in (ActionRepresentation, ActionType, ActionFormat, ActionConfig, ModalityConfig)},
        "DATA_CONFIG_MAP": {},
        "So100DataConfig": _data_config("min_max"),
        "Gr1ArmsOnlyDataConfig" if version == "n1" else "FourierGr1ArmsOnlyDataConfig": _data_config("sin_cos"),
    }
    names = _OLD if version in ("n1", "n1.5") else _NEW
    for module, exported in names.items():
        for name in exported & given.keys():
            setattr(modules[module], name, given[name])
        monkeypatch.setitem(sys.modules, module, modules[module])
    scope: dict[str, Any] = {"__name__": "modality_config"}
    exec(compile(text, "modality_config.py", "exec"), scope)
    if version in ("n1", "n1.5"):
        return _read_old(scope["RobotConfig"]())
    [(tag, config)] = [(tag, config) for tag, config in configs.items() if config != "theirs"]
    return {"tag": tag} | _read_new(config)


_NEW = {
    "gr00t.configs.data.embodiment_configs": {"MODALITY_CONFIGS", "register_modality_config"},
    "gr00t.data.embodiment_tags": {"EmbodimentTag"},
    "gr00t.data.types": {"ActionConfig", "ActionFormat", "ActionRepresentation", "ActionType", "ModalityConfig"},
}
_OLD = {
    "gr00t.experiment.data_config": {
        "DATA_CONFIG_MAP",
        "So100DataConfig",
        "Gr1ArmsOnlyDataConfig",
        "FourierGr1ArmsOnlyDataConfig",
    }
}


def _read_new(config: dict[str, ModalityConfig]) -> dict[str, Any]:
    video, state, action, language = (config[name] for name in ("video", "state", "action", "language"))
    assert [one.delta_indices for one in (video, state, language)] == [[0], [0], [0]]
    assert action.delta_indices == list(range(len(action.delta_indices)))
    configs = action.action_configs or []
    assert all(
        (one.type, one.format, one.state_key) == (ActionType.NON_EEF, ActionFormat.DEFAULT, None) for one in configs
    )
    pairs = zip(action.modality_keys, configs, strict=True)
    return {
        "video": video.modality_keys,
        "state": state.modality_keys,
        "action": action.modality_keys,
        "sin_cos": state.sin_cos_embedding_keys or [],
        "relative": [key for key, one in pairs if one.rep == ActionRepresentation.RELATIVE],
        "horizon": len(action.delta_indices),
        "language": language.modality_keys,
    }


def _read_old(config: Any) -> dict[str, Any]:
    def bare(keys: list[str], prefix: str) -> list[str]:
        assert all(key.startswith(prefix) for key in keys)
        return [key.removeprefix(prefix) for key in keys]

    done = config.transform()
    (scaled, states), (actions_scaled, actions) = done["state"], done["action"]
    assert actions_scaled == "min_max"
    assert config.observation_indices == [0]
    assert config.action_indices == list(range(len(config.action_indices)))
    return {
        "video": bare(config.video_keys, "video."),
        "state": bare(states, "state."),
        "action": bare(actions, "action."),
        "sin_cos": bare(states, "state.") if scaled == "sin_cos" else [],
        "relative": [],
        "horizon": len(config.action_indices),
        "language": config.language_keys,
    }
