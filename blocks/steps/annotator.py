"""annotator: the instruction as columns of rows, which GR00T reads as language."""

from __future__ import annotations

from ...core.columns import ConstantColumn
from ...core.episode import Episode
from ...core.features import TASK_INDEX
from ..episode_step import EpisodeMap, new_column


class Annotator(EpisodeMap):
    """Adds columns with the values of task_index, the number of the instruction in the dataset.

    GR00T maps such a column of whole numbers through the dataset's list of tasks.

    Args:
        columns: Names of the columns, such as annotation.human.action.task_description.
    """

    name = "annotator"
    keeps_vectors = True

    def __init__(self, *, columns: list[str]) -> None:
        super().__init__()
        self.columns = columns

    def apply(self, ep: Episode) -> Episode:
        """Add the columns; their values are made when the episode gets its place in a dataset.

        Raises:
            EpisodeRejected: `duplicate_column` if there is one already.
        """
        for key in self.columns:
            ep = new_column(ep, key, ConstantColumn(TASK_INDEX, ep.length, 0))
        return ep
