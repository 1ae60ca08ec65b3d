"""An action that a policy predicts relative to a state, and its samples in an episode."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .relative_poses import PoseFormat, relative_poses


@dataclass(frozen=True, slots=True)
class Part:
    """Entries start..end (exclusive) of a column of vectors."""

    column: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RelativeAction:
    """One action that the policy predicts relative to a state.

    Attributes:
        key: Its name in modality.json.
        action: Where it is.
        state: What it is relative to.
        deltas: Offsets of the predicted frames, ascending from 0 or more. The state is taken at the first one.
        pose: Format of a pose of an end effector; None for plain numbers, of which differences are taken.
    """

    key: str
    action: Part
    state: Part
    deltas: tuple[int, ...]
    pose: PoseFormat | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (H, D), or (H, 4, 4) for homogeneous matrices."""
        return (len(self.deltas), *((4, 4) if self.pose == "DEFAULT" else (self.action.end - self.action.start,)))

    def samples(self, actions: NDArray[Any], states: NDArray[Any]) -> NDArray[np.float64]:
        """Return the samples of an episode.

        Args:
            actions: (frames, D).
            states: (frames, D).

        Returns:
            (frames - last offset, H · D): where the episode is too short for one sample there is none.
        """
        first = np.arange(max(0, len(actions) - self.deltas[-1]))
        chosen = actions.astype(np.float64)[first[:, None] + np.array(self.deltas)]
        reference = states.astype(np.float64)[first + self.deltas[0]][:, None]
        found = chosen - reference if self.pose is None else relative_poses(chosen, reference, self.pose)
        return found.reshape(len(first), prod(self.shape))
