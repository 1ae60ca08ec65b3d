"""success_filter: rejects demonstrations that failed."""

from __future__ import annotations

from typing import Literal

from ...core.columns import ConstantColumn
from ...core.episode import Episode
from ...core.features import Feature
from ..episode_step import EpisodeFilter, new_column

LABEL = "next.success"


class SuccessFilter(EpisodeFilter):
    """Selects episodes by the recorder's success label.

    Isaac Lab and LeIsaac write the label at the end of an episode. An interrupted recording has no label, so by
    default a missing label counts as a failure.

    Args:
        policy: "keep" keeps successes only, "failures" failures only, "label" keeps everything and
            adds the bool feature `next.success`, true in the last frame of a success.
        missing: Label of episodes without one. "success" suits layouts that never write a label
            (robomimic, piper, ALOHA).
    """

    name = "success_filter"
    keeps_vectors = True

    def __init__(
        self,
        *,
        policy: Literal["keep", "failures", "label"] = "keep",
        missing: Literal["failure", "success"] = "failure",
    ) -> None:
        super().__init__()
        self.policy = policy
        self.missing = missing

    def _succeeded(self, ep: Episode) -> bool:
        return self.missing == "success" if ep.success is None else ep.success

    def reject(self, ep: Episode) -> str | None:
        """Return `not_successful`, `no_success_label` or `successful`, by policy."""
        if self.policy == "label" or self._succeeded(ep) == (self.policy == "keep"):
            return None
        if ep.success is None:
            return "no_success_label: no label says success or failure (see success_filter: {missing: …})"
        return "successful: only failures are kept" if ep.success else "not_successful: the label says failure"

    def step(self, ep: Episode) -> Episode:
        """Choose, and add the label where the policy says so."""
        ep = super().step(ep)
        if self.policy == "label":
            ep = new_column(ep, LABEL, ConstantColumn(Feature("bool", (1,)), ep.length, False, self._succeeded(ep)))
        return ep
