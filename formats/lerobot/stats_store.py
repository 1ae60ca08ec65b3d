"""Where a dataset keeps the statistics of its episodes, and how they are replaced there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from ...core.commit import Replacements
from ...core.features import Features
from .stats import FeatureStats
from .view import DatasetView

View = TypeVar("View", bound=DatasetView)

# Of one episode: feature to its new statistics; those of other features stay as they are.
Changes: TypeAlias = Mapping[str, FeatureStats]


class StatsStore(ABC, Generic[View]):
    """The statistics of the episodes of one dataset.

    Args:
        view: The dataset.

    Attributes:
        keeps_axes: True if statistics of a feature with several axes may have all of them.
    """

    keeps_axes = False

    def __init__(self, view: View) -> None:
        self.view = view

    @abstractmethod
    def found(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """Yield (file, feature to statistic to nested lists) of each episode in order, as far as they are there.

        Raises:
            Damaged: If they cannot be read, or are of other episodes.
        """

    @abstractmethod
    def rewrite(self, changes: Iterator[Changes], features: Features, aside: Replacements) -> None:
        """Write each file aside in which something changes; all else in it stays as it is, and in its order.

        Args:
            changes: For every episode in order, read as far as the files are.
            features: Those that `changes` can have.
            aside: Takes the files.
        """
