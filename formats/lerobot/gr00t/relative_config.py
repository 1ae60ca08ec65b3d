"""Which actions are relative: what GR00T's modality configuration says, as a file of YAML or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ....core.errors import ConfigError, Problem, UsageError, nearest
from .relative_actions import POSE_WIDTHS, ActionPart, PoseFormat, RelativeAction


class ActionSpec(BaseModel):
    """How GR00T represents one action (its ActionConfig).

    Attributes:
        rep: Only RELATIVE actions have relative statistics.
        type: EEF for poses of end effectors, NON_EEF for plain numbers.
        format: What the numbers of a pose are.
        state_key: The state that it is relative to, by default that of the same name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rep: Literal["RELATIVE", "ABSOLUTE", "DELTA"]
    type: Literal["EEF", "NON_EEF"] = "NON_EEF"
    format: PoseFormat = "DEFAULT"
    state_key: str | None = None


class ActionsFile(BaseModel):
    """A configuration file.

    Attributes:
        state_delta_indices: Offsets of the states that the policy sees; the last one is the reference.
        action_delta_indices: Offsets of the actions that it predicts.
        action_horizon: Short for as many offsets, from that of the reference on.
        actions: By their names in modality.json.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_delta_indices: list[int] = Field(default=[0], min_length=1)
    action_delta_indices: list[int] | None = Field(default=None, min_length=1)
    action_horizon: int | None = Field(default=None, ge=1)
    actions: dict[str, ActionSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _offsets(self) -> ActionsFile:
        if (self.action_delta_indices is None) == (self.action_horizon is None):
            raise ValueError("give one of action_delta_indices and action_horizon")
        deltas, reference = self.deltas, self.state_delta_indices[-1]
        if list(deltas) != sorted(set(deltas)) or deltas[0] < 0:
            raise ValueError(f"action_delta_indices {list(deltas)} do not ascend from 0 or more")
        if deltas[0] != reference:
            raise ValueError(
                f"the first of action_delta_indices is {deltas[0]}, the last of state_delta_indices is {reference}: "
                "GR00T wants them to be the same"
            )
        return self

    @property
    def deltas(self) -> tuple[int, ...]:
        """Offsets of the predicted frames."""
        first = self.state_delta_indices[-1]
        return tuple(self.action_delta_indices or range(first, first + (self.action_horizon or 0)))


class _Slice(BaseModel):
    start: int = Field(ge=0)
    end: int
    original_key: str | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> _Slice:
        if self.end <= self.start:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self

    @property
    def width(self) -> int:
        return self.end - self.start


class _Modality(BaseModel):
    state: dict[str, _Slice] = {}
    action: dict[str, _Slice] = {}


Model = TypeVar("Model", bound=BaseModel)


def read_actions(modality: Path, config: Path) -> list[RelativeAction]:
    """Return the RELATIVE actions of a configuration file, sorted by name as GR00T writes them.

    Args:
        modality: The dataset's modality.json, which says where actions and states are.
        config: YAML or JSON, see `ActionsFile`, such as
            ``{action_horizon: 16, actions: {left_arm: {rep: RELATIVE}, left_gripper: {rep: ABSOLUTE}}}``.

    Raises:
        UsageError: If a file cannot be read.
        ConfigError: If one says something wrong, with all mistakes of it.
    """
    slices, problems = _checked(_Modality, _load(modality))
    if slices is None:
        raise ConfigError(str(modality), problems)
    data = _load(config)
    wanted, problems = _checked(ActionsFile, data)
    problems += [Problem(0, text) for text in _misfits(data, slices)]
    if wanted is None or problems:
        raise ConfigError(str(config), problems)
    return [
        RelativeAction(
            key,
            _part(slices.action[key], "action"),
            _part(slices.state[spec.state_key or key], "observation.state"),
            wanted.deltas,
            spec.format if spec.type == "EEF" else None,
        )
        for key, spec in sorted(wanted.actions.items())
        if spec.rep == "RELATIVE"
    ]


def _part(found: _Slice, column: str) -> ActionPart:
    return ActionPart(found.original_key or column, found.start, found.end)


def _load(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise UsageError(str(path), f"cannot be read: {exc}", "a file in YAML or JSON") from exc


def _checked(model: type[Model], data: Any) -> tuple[Model | None, list[Problem]]:
    try:
        return model.model_validate(data), []
    except ValidationError as exc:
        return None, [Problem(0, _sentence(model, error)) for error in exc.errors()]


def _sentence(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        fields = list((ActionSpec if len(error["loc"]) > 1 else model).model_fields)
        return f"{where}: no such key{nearest(str(error['loc'][-1]), fields)}; keys: {', '.join(fields)}"
    return f"{where + ': ' if where else ''}{error['msg'].removeprefix('Value error, ')}"


def _misfits(data: Any, slices: _Modality) -> Iterator[str]:
    """Say where actions and modality.json do not go together; `data` may have other mistakes."""
    actions = data.get("actions") if isinstance(data, dict) else None
    for key, entry in actions.items() if isinstance(actions, dict) else ():
        if key not in slices.action:
            yield f"actions.{key}: modality.json has no such action{nearest(str(key), slices.action)}"
        spec, _ = _checked(ActionSpec, entry)
        if spec is None or spec.rep != "RELATIVE":
            continue
        state = spec.state_key or str(key)
        if state not in slices.state:
            yield f"actions.{key}.state_key: modality.json has no state {state!r}{nearest(state, slices.state)}"
        elif key in slices.action:
            yield from _wrong_widths(key, spec, slices.action[key].width, slices.state[state].width)


def _wrong_widths(key: str, spec: ActionSpec, action: int, state: int) -> Iterator[str]:
    if action != state:
        yield f"actions.{key}: the action has {action} values, its state {state}"
    if spec.type == "EEF" and action != POSE_WIDTHS[spec.format]:
        wanted = POSE_WIDTHS[spec.format]
        yield f"actions.{key}.format: a pose in {spec.format} has {wanted} values, in modality.json it has {action}"
