"""LeRobot's own releases and policies."""

from __future__ import annotations

from collections.abc import Iterator

from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ..check import Check, Consumer, Diagnostic, converted
from .libero import RecordedGripperCheck
from .videos import FetchCheck

_NAMED = "`source: {columns: {%s: PATH}}` in the pipeline names it"


class ReleaseCheck(Check[Dataset]):
    """Version of the format, readable by the current releases.

    0.4.0 and later refuse v2.1 (BackwardCompatibilityError in datasets/utils.py); 0.3.3 is the last
    that reads it.
    """

    name = "release"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield a warning for v2.1."""
        if dataset.version != paths_v30.CODEBASE_VERSION:
            told = f"codebase_version is {dataset.version}: LeRobot reads it up to 0.3.3, 0.4.0 and later refuse it"
            yield self.warning(paths_v30.INFO, f"{told}; {converted(dataset, paths_v30.CODEBASE_VERSION)}")


class PolicyFeaturesCheck(Check[Dataset]):
    """The features that policies are trained on: `action`, and something to observe.

    `dataset_to_policy_features` takes the names that begin with `observation` and `action`, and
    cameras; policies read `action`, most `observation.state`; ACT and diffusion refuse to do without a
    camera or `observation.environment_state` (`validate_features`). Read in 0.4.4.
    """

    name = "policy_features"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield features without which nothing, or not everything, can be trained."""
        features = dataset.features
        if "action" not in features:
            yield self.error(paths_v30.INFO, f"has no feature action, which every policy learns; {_NAMED % 'action'}")
        seen = dataset.cameras
        if not seen and not any(key.startswith("observation") for key in features):
            told = "has no camera and no feature named observation…: a policy has no input"
            yield self.error(paths_v30.INFO, f"{told}; {_NAMED % 'observation.state'}")
            return
        if "observation.state" not in features:
            told = "has no feature observation.state: diffusion, pi0 and SmolVLA fail"
            yield self.warning(paths_v30.INFO, f"{told}; {_NAMED % 'observation.state'}")
        if not seen and "observation.environment_state" not in features:
            told = "has no camera and no observation.environment_state: ACT and diffusion refuse it"
            yield self.warning(paths_v30.INFO, f"{told}; {_NAMED % 'observation.images.front'}")


LEROBOT = Consumer(
    "LeRobot", ("v2.1", "v3.0"), (ReleaseCheck(), PolicyFeaturesCheck(), FetchCheck(), RecordedGripperCheck())
)
