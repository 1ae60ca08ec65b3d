"""hdf5_reader: episodes from HDF5 files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from ...core.episode import Episode, EpisodeOrigin
from ...core.errors import EpisodeRejected, UsageError
from ...formats.hdf5 import LAYOUTS
from ...formats.hdf5.column_spec import ColumnSpec
from ...formats.hdf5.hdf5_file import HDF5_SUFFIXES, natural_key, open_hdf5
from ...formats.hdf5.layout import Layout
from ...formats.hdf5.scan import Scanned, scan
from ...hub.address import is_elsewhere
from ...hub.source_files import find, present
from ...manifests.manifest import EpisodeRow, Manifest
from ...manifests.shard_progress import ShardProgress
from ..binding import Bound


class Hdf5Reader(Bound, PipelineStep):
    """Reads the episodes of HDF5 files, lazily.

    Args:
        files: Files, folders (their *.hdf5 and *.h5, not deeper) or glob patterns (** goes deeper),
            relative to the folder the command runs in; hf://datasets/OWNER/NAME[@REVISION]/PATH takes
            them from the Hub, s3://BUCKET/PATH and other protocols from where fsspec reads them, file by
            file as they are needed.
        layout: How demonstrations lie in the files.
        columns: Feature name to where it comes from, instead of the layout's defaults.
        task: Instruction for episodes whose file has none.
        fps: Frames per second for episodes whose file says nothing.
        options: Further arguments of the layout (see `robotrove schema`).
    """

    name = "hdf5_reader"
    type = "📖 - READER"
    role = "source"

    def __init__(
        self,
        *,
        files: list[str],
        layout: str,
        columns: dict[str, ColumnSpec] | None = None,
        task: str | None = None,
        fps: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.files = files
        self.layout = layout
        self.columns = columns
        self.task = task
        self.fps = fps
        self.options = options
        self._layout()  # a mistake is told before any file is touched

    def _layout(self) -> Layout:
        try:
            layout: Layout = LAYOUTS[self.layout](
                columns=self.columns, task=self.task, fps=self.fps, **(self.options or {})
            )
        except TypeError as exc:
            raise UsageError(f"source.options of layout {self.layout}", str(exc)) from exc
        return layout

    def find(self, *, from_anywhere: bool = False) -> list[Path]:
        """Return the absolute paths of all files in natural order.

        Args:
            from_anywhere: Pass over relative paths that lead nowhere: they may have been given in another folder.

        Raises:
            UsageError: If a pattern matches nothing.
        """
        found: dict[Path, None] = {}
        for pattern in self.files:
            expanded = os.path.expanduser(pattern)
            if is_elsewhere(pattern):
                matches = [str(path) for path in find(pattern, HDF5_SUFFIXES)]
            elif os.path.isdir(expanded):
                matches = [str(path) for path in Path(expanded).iterdir() if path.suffix in HDF5_SUFFIXES]
            else:
                # A plain name is taken as it is, so that a missing file is one rejection, not a failed run.
                matches = glob.glob(expanded, recursive=True) if glob.has_magic(expanded) else [expanded]
                matches = matches or ([expanded] if os.path.exists(expanded) else [])
            if from_anywhere and not is_elsewhere(pattern) and not os.path.isabs(expanded):
                matches = list(filter(os.path.exists, matches))
            elif not matches:
                raise UsageError("source.files", f"{pattern!r} matches no file", "HDF5 files", f"ls {pattern}")
            for match in sorted(matches, key=natural_key):
                found[Path(os.path.abspath(match))] = None
        return list(found)

    def scan(self, path: Path) -> Iterator[Scanned]:
        """Open a file once and list its episodes; see `formats.hdf5.scan.scan`."""
        return scan(path, self._layout())

    def run(self, data: Iterable[Episode] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Episode]:
        """Yield the episodes of shard `rank` that are not committed yet; `data` is ignored."""
        workspace = self.binding.workspace
        progress = ShardProgress(workspace, rank)
        if progress.committed:
            return
        kept = progress.kept_before()
        rows = [
            row
            for row in Manifest.read(workspace.manifest, shard=rank).rows
            if row.index not in kept and not progress.is_done(row.index)
        ]
        for path, group in groupby(rows, key=lambda row: row.path):
            yield from self.episodes(Path(path), list(group))

    def episodes(self, path: Path, rows: Sequence[EpisodeRow]) -> Iterator[Episode]:
        """Yield the listed episodes of one file; those that cannot be used any more come as rejected."""
        try:
            _check_unchanged(rows[0])
            file = open_hdf5(path, locking=False)
        except EpisodeRejected as exc:
            yield from (_unusable(row, exc) for row in rows)
            return
        with file:
            layout = self._layout()
            for row in rows:
                try:
                    ep = layout.open(file, row.key)
                except EpisodeRejected as exc:
                    ep = _unusable(row, exc)
                origin = replace(ep.origin, row=row.index, digest=row.digest)
                ep = ep.planned(origin, partial(_check_unchanged, row))
                self.stat_update("episodes")
                yield ep
                ep.close()


def _unusable(row: EpisodeRow, why: EpisodeRejected) -> Episode:
    origin = EpisodeOrigin(row.path, row.key, row.index, row.digest)
    ep = Episode(id=row.label, text=row.task, length=0, fps=row.fps, columns={}, origin=origin)
    ep.reject(why.reason, why.detail, error=True)
    return ep


def _check_unchanged(row: EpisodeRow) -> None:
    try:
        state = os.stat(present(Path(row.path)))
    except OSError as exc:
        raise EpisodeRejected("source_changed", f"{row.source} cannot be found any more: {exc.strerror}") from exc
    if (state.st_size, state.st_mtime_ns) != (row.size, row.mtime_ns):
        raise EpisodeRejected("source_changed", f"{row.source} was changed after the run was planned")
