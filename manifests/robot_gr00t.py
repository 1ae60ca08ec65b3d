"""What a robot manifest says for GR00T: tags, keys beside the joint groups, what policies take, what is relative."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Gr00tVersion: TypeAlias = Literal["n1", "n1.5", "n1.6", "n1.7"]


class Part(BaseModel):
    """Values of a column, as modality.json has them.

    Attributes:
        column: Feature of the dataset.
        start: First of its values.
        end: The one after the last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    start: int = Field(ge=0)
    end: int

    @model_validator(mode="after")
    def _not_empty(self) -> Part:
        if self.end <= self.start:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self


class Parts(BaseModel):
    """Keys of modality.json that are no joint groups; those of columns that a dataset lacks are left out.

    Attributes:
        state: Key to a part of a column.
        action: Key to a part of a column.
        video: Key to a camera's feature; other cameras are called as their features end.
        annotation: Key to a column of whole numbers; other annotations are called as their columns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: dict[str, Part] = {}
    action: dict[str, Part] = {}
    video: dict[str, str] = {}
    annotation: dict[str, str] = {}


class Policy(BaseModel):
    """Keys of modality.json that a policy is trained with, in their order; all where a list is not given.

    Attributes:
        state: What it sees.
        action: What it predicts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: list[str] | None = None
    action: list[str] | None = None


class Gr00t(BaseModel):
    """The section `gr00t` of a robot manifest.

    Attributes:
        tags: GR00T version to embodiment tag.
        parts: Keys beside the groups.
        policy: Keys that training takes.
        relative: Actions that N1.6 and N1.7 learn relative to the state of the same name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: dict[Gr00tVersion, str] = {}
    parts: Parts = Parts()
    policy: Policy = Policy()
    relative: list[str] = []

    def named(self) -> list[tuple[tuple[str, ...], list[str], list[str]]]:
        """Return every list of keys: where it is, its keys, and the keys that `parts` has for it."""
        states, actions = list(self.parts.state), list(self.parts.action)
        return [
            (("policy", "state"), self.policy.state or [], states),
            (("policy", "action"), self.policy.action or [], actions),
            (("relative",), self.relative, [key for key in actions if key in states]),
        ]
