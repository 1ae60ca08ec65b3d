"""annotator: columns of task numbers, which GR00T reads as language."""

from __future__ import annotations

from ...core.columns import ConstantColumn
from ...core.episode import Episode
from ...core.features import TASK_INDEX
from ..episode_step import EpisodeMap, new_column


class Annotator(EpisodeMap):
    """Adds columns with the number of the instruction, or of another text, in the dataset's list of tasks.

    GR00T maps such a column of integers through that list.

    Args:
        columns: Names of the columns, such as annotation.human.action.task_description; or a mapping of each name to a
            task text of its own, such as {annotation.human.validity: valid}.
    """

    name = "annotator"
    keeps_vectors = True

    def __init__(self, *, columns: list[str] | dict[str, str]) -> None:
        super().__init__()
        self.columns = columns

    def apply(self, ep: Episode) -> Episode:
        """Add the columns; their values are made when the episode gets its place in a dataset.

        Raises:
            EpisodeRejected: `duplicate_column` if there is one already.
        """
        for key in self.columns:
            number = 0
            if isinstance(self.columns, dict):
                number, ep = len(ep.tasks), ep.with_task(self.columns[key])
            ep = new_column(ep, key, ConstantColumn(TASK_INDEX, ep.length, number))
        return ep
