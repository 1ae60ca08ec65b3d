"""Binding of a block to a run: workspace, shard and CPUs, not part of the pipeline."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..core.commit import exists_now
from ..core.errors import RobotroveError
from ..core.workspace import Workspace
from ..formats.lerobot import paths_v30
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
        """Folder in which the dataset of a LeRobot version is built."""
        return self.run.dataset_folders(self.workspace.output_partial(self.run.run_id))[version]

    def finished_root(self, version: str) -> Path:
        """Folder of the dataset of a LeRobot version: in the output once that is committed, beside it before."""
        partial = self.workspace.output_partial(self.run.run_id)
        return self.run.dataset_folders(self.workspace.output if self.is_committed else partial)[version]

    @property
    def is_committed(self) -> bool:
        """True if the output has its final name, and nothing is being made beside it."""
        return self.has_output and not exists_now(self.workspace.output_partial(self.run.run_id))

    @property
    def has_output(self) -> bool:
        """True if the output exists, and is not the base that it replaces."""
        return exists_now(self.workspace.output) and (not self.replaces_base or self.made_output)

    @property
    def made_output(self) -> bool:
        """True if what has the name of the output was made by this run."""
        try:
            folders = self.run.dataset_folders(self.workspace.output).values()
            made = [json.loads((dataset / paths_v30.RUN).read_text())["run_digest"] for dataset in folders]
        except (OSError, ValueError, KeyError):
            return False
        return set(made) == {self.run.digest}

    @property
    def replaces_base(self) -> bool:
        """True if the output gets the name of the dataset that is appended to."""
        return self.run.base is not None and Path(self.run.base.path) == self.workspace.output

    @property
    def base_root(self) -> Path | None:
        """Folder of the base; under its new name once the output has replaced it."""
        if self.run.base is None:
            return None
        before = self.workspace.output_before(self.run.run_id)
        return before if self.replaces_base and before.exists() else Path(self.run.base.path)


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
