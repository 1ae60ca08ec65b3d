"""committer: last stage of every run; renames the finished dataset to its final name."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ...core.commit import is_attempt, rename_new, sync_file, sync_tree
from ...core.errors import RobotroveError, UsageError
from ..binding import Bound
from ..dataset_step import DatasetStep


class Committer(Bound, DatasetStep):
    """Syncs the dataset and renames it; never part of a pipeline file."""

    name = "committer"

    def __init__(self) -> None:
        """Take no arguments."""

    def units(self) -> list[Path]:
        """Return nothing: the rename is one act, in `finish`."""
        return []

    def process(self, unit: Path) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Remove what killed attempts left in the dataset, sync it, and rename it."""
        workspace = self.binding.workspace
        root = workspace.output_partial(self.binding.run.run_id)
        # Without a root, the output was made by an attempt that was killed before it could say so, or that
        # was faster than this one.
        if root.exists():
            try:
                self._commit(root)
            except FileNotFoundError:
                if root.exists() or not self.binding.has_output:
                    raise
        elif not self.binding.has_output:
            raise RobotroveError(str(root), "no block made a dataset", "see `dataset:` in the pipeline")
        with suppress(FileNotFoundError):  # only there when rejected episodes were retried
            shutil.rmtree(workspace.output_replaced(self.binding.run.run_id))

    def _commit(self, root: Path) -> None:
        for leftover in [path for path in root.rglob("*") if is_attempt(path.name)]:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        sync_tree(root)
        if self.binding.replaces_base:
            before = self.binding.workspace.output_before(self.binding.run.run_id)
            with suppress(FileNotFoundError):  # an attempt that was killed right here had done it
                rename_new(self.binding.workspace.output, before)
        try:
            os.rename(root, self.binding.workspace.output)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise UsageError(
                str(self.binding.workspace.output),
                "was created by another run during this one",
                "a folder that does not exist yet",
                f"the output of this run is in {root}; move one of them away and rerun the command",
            ) from exc
        sync_file(self.binding.workspace.output.parent)
