"""committer: last stage of every run; renames the finished dataset to its final name."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ...core.checksums import CHECKSUMS, FileSum, file_sum, write_list
from ...core.commit import exists_now, is_attempt, look_again_below, rename_new, sync_file, sync_tree
from ...core.errors import RobotroveError, UsageError
from ..binding import Bound
from ..dataset_step import DatasetStep

# Folders of a dataset in the list of its checksums; what else is there belongs to its user.
_LISTED = ("data", "videos", "images", "meta", "annotations")


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
        if exists_now(root):
            try:
                self._commit(root)
            except FileNotFoundError:
                if exists_now(root) or not self.binding.has_output:
                    raise
        elif not self.binding.has_output:
            raise RobotroveError(str(root), "no block made a dataset", "see `dataset:` in the pipeline")
        with suppress(FileNotFoundError):  # only there when rejected episodes were retried
            shutil.rmtree(workspace.output_replaced(self.binding.run.run_id))
        for path in root.parent.iterdir():
            if path.name.startswith(f"{root.name}.") and is_attempt(path.name):
                path.unlink(missing_ok=True)

    def _commit(self, root: Path) -> None:
        for leftover in [path for path in root.rglob("*") if is_attempt(path.name)]:
            # A second committer may be removing it too.
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        self._list_files(root)
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

    def _list_files(self, root: Path) -> None:
        """Write the list of checksums of each dataset; large files have theirs since they were written."""
        known: dict[str, FileSum] = {}
        look_again_below(self.binding.workspace.plan(""))
        for path in self.binding.workspace.all_sums():
            known |= {name: FileSum(*found) for name, found in json.loads(path.read_bytes()).items()}
        for dataset in self.binding.run.dataset_folders(root).values():
            folders = [dataset / name for name in _LISTED]
            paths = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
            # Also files of other machines that an old listing lacks.
            paths |= {root / name for name in known if any(map((root / name).is_relative_to, folders))}
            names = {path.relative_to(dataset).as_posix(): path for path in sorted(paths)}
            names.pop(CHECKSUMS, None)  # of an attempt that was killed
            sums = {name: known.get(path.relative_to(root).as_posix()) for name, path in names.items()}
            # Aside: another committer removes attempts in the dataset, and syncs all that it finds there.
            write_list(dataset, {name: found or file_sum(names[name]) for name, found in sums.items()}, beside=root)
