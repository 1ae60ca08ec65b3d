"""task_relabel: gives episodes another instruction."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from ...core.episode import Episode
from ...core.errors import UsageError
from ..episode_step import EpisodeMap
from .episode_selector import Condition


class TaskRule(BaseModel):
    """A new instruction for episodes.

    Attributes:
        where: Conditions that such an episode meets, all of them.
        task: Its instruction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: list[Condition]
    task: str


class TaskRelabel(EpisodeMap):
    """Gives episodes another instruction; others keep theirs. Columns of an `annotator` after it follow.

    Args:
        tasks: Instruction, as it is now, to the new one; it decides before `rules`.
        rules: Rules; the first that fits decides, such as
            [{where: [{field: file, op: like, value: "*/left/*"}], task: pick up the left cube}].
    """

    name = "task_relabel"
    keeps_vectors = True

    def __init__(self, *, tasks: dict[str, str] | None = None, rules: list[TaskRule] | None = None) -> None:
        super().__init__()
        if not tasks and not rules:
            raise UsageError("task_relabel", "has no new task", "tasks or rules")
        self._rules = [TaskRule.model_validate(rule) for rule in rules or ()]
        if not all(text.strip() for text in [*(tasks or {}).values(), *(rule.task for rule in self._rules)]):
            raise UsageError("task_relabel", "a new task is empty", "an instruction")
        self.tasks = tasks
        self.rules = rules
        self._unmet = dict.fromkeys(tasks or {})

    def notes(self, episodes: Sequence[tuple[str, str]]) -> list[str]:
        """Name the tasks that no episode had when it came here."""
        return [f"{self.name}: no episode has the task {task!r}" for task in self._unmet]

    def apply(self, ep: Episode) -> Episode:
        """Change the text of the episode."""
        self._unmet.pop(ep.text, None)
        fitting = (rule.task for rule in self._rules if all(condition.holds(ep) for condition in rule.where))
        task = (self.tasks or {}).get(ep.text) or next(fitting, ep.text)
        ep = ep.with_facts()
        ep.text = task
        return ep
