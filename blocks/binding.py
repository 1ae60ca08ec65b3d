"""What a block learns when it is put to work in a run; nothing of it is part of a pipeline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import RobotroveError
from ..core.workspace import Workspace
from ..manifests.run_info import RunInfo

CPUS_VARIABLE = "ROBOTROVE_CPUS"


@dataclass(frozen=True, slots=True)
class Binding:
    """A run and where it lives.

    Attributes:
        workspace: Every path.
        run: Identity of the run.
    """

    workspace: Workspace
    run: RunInfo

    def dataset_root(self, version: str) -> Path:
        """Where the dataset of a LeRobot version is built."""
        return self.run.dataset_folders(self.workspace.output_partial(self.run.run_id))[version]

    def finished_root(self, version: str) -> Path:
        """Where the dataset of a LeRobot version is: under its final name once all is complete, beside that before."""
        partial = self.workspace.output_partial(self.run.run_id)
        is_final = self.workspace.output.exists() and not partial.exists()
        return self.run.dataset_folders(self.workspace.output if is_final else partial)[version]


class Bound:
    """Mixed into blocks that need to know the run they work in."""

    _binding: Binding | None = None

    def bind(self, binding: Binding) -> None:
        """Tell the block which run it works in; called after it is built, before `run`."""
        self._binding = binding

    @property
    def binding(self) -> Binding:
        """The run; an error in words if the block is used outside of one."""
        if self._binding is None:
            raise RobotroveError(
                type(self).__name__,
                "is used outside of a run",
                "a block of a Pipeline",
                "put it into Pipeline(...) and call run(output=...)",
            )
        return self._binding


def cpus() -> int:
    """Return how many CPUs this rank may use; the executor says so in the environment."""
    return max(1, int(os.environ.get(CPUS_VARIABLE, "1")))
