"""Blocks, a source, a layout and an encoder that robotrove does not know, as a lab would write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from robotrove.blocks.episode_step import EpisodeFilter, EpisodeMap
from robotrove.blocks.reader import Reader
from robotrove.core.columns import ArrayColumn
from robotrove.core.episode import Episode, EpisodeOrigin, Scanned
from robotrove.core.features import Feature, cameras
from robotrove.core.source_file import SourceFile
from robotrove.formats.hdf5.layouts.isaaclab import IsaacLabLayout
from robotrove.manifests.manifest import EpisodeRow
from robotrove.media.encode.pyav_encoder import PyavEncoder


class NoIdleStart(EpisodeFilter):
    """Rejects episodes in whose first second nothing moves; no constructor of its own."""

    name = "no_idle_start"
    reads_data = True

    def reject(self, ep: Episode) -> str | None:
        """Return `idle_start`."""
        return "idle_start: nothing moves" if abs(ep["action"][: ep.fps]).max() < 1e-3 else None


class LabLayout(IsaacLabLayout):
    """Files of Isaac Lab, under another name."""

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for files with a group of demonstrations."""
        return "data" in file


class LabEncoder(PyavEncoder):
    """Encoder that is in no registry."""


class EveryNth(EpisodeMap):
    """Keeps every nth frame, the first among them.

    Args:
        n: Step between frames.
    """

    name = "every_nth"
    keeps_vectors = True

    def __init__(self, *, n: int) -> None:
        super().__init__()
        self.n = n

    def apply(self, ep: Episode) -> Episode:
        """Take the rows."""
        return ep.take(np.arange(0, ep.length, self.n))


class Mirrored(EpisodeMap):
    """Plays an episode backwards, after its first frame three times."""

    name = "mirrored"
    keeps_vectors = True

    def apply(self, ep: Episode) -> Episode:
        """Take the rows."""
        return ep.take(np.array([0, 0, 0, *range(ep.length - 1, -1, -1)]))


class WithoutCameras(EpisodeMap):
    """Removes all cameras."""

    name = "without_cameras"

    def apply(self, ep: Episode) -> Episode:
        """Remove them."""
        for key in cameras(ep.features):
            ep = ep.without_column(key)
        return ep


class WithoutTime(EpisodeMap):
    """Removes a column."""

    name = "without_time"

    def apply(self, ep: Episode) -> Episode:
        """Remove it."""
        return ep.without_column("observation.time")


class Halved(EpisodeMap):
    """Halves the values of a column."""

    name = "halved"

    def apply(self, ep: Episode) -> Episode:
        """Change it."""
        return ep.map_column("observation.state", lambda rows: rows / 2)


class Assigning(EpisodeMap):
    """Drops every second frame as blocks did before `take`: by assigning fields."""

    name = "assigning"

    def apply(self, ep: Episode) -> Episode:
        """Assign."""
        ep.length = ep.length // 2  # type: ignore[misc]
        return ep


class NpyReader(Reader):
    """Recordings in numpy's own format: each file is an episode, its rows are the actions.

    Args:
        folder: Folder of the files.
    """

    name = "npy_reader"

    def __init__(self, *, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def find(self) -> list[SourceFile]:
        """See the base class."""
        return [SourceFile(path) for path in sorted(Path(self.folder).glob("*.npy"))]

    def scan(self, file: SourceFile) -> Iterator[Scanned]:
        """See the base class."""
        yield Scanned("all", hashlib.sha256(file.open().read_bytes()).hexdigest(), self._opened(file), None)

    def episodes(self, file: SourceFile, rows: Sequence[EpisodeRow]) -> Iterator[Episode]:
        """See the base class."""
        for row in rows:
            ep = self._opened(file).planned(EpisodeOrigin(row.path, row.key, row.index, row.digest), lambda: None)
            if file.is_changed():
                ep.reject("source_changed", "is another file now", error=True)
            yield ep
            ep.close()

    def _opened(self, file: SourceFile) -> Episode:
        values = np.load(file.open())
        column = ArrayColumn(Feature("float32", values.shape[1:], ("x", "y")), values)
        return Episode(id=file.path.stem, text="reach", length=len(values), fps=10, columns={"action": column})


class Relabelling(EpisodeMap):
    """Calls every episode a success, and takes every second row; waits for the run."""

    name = "relabelling"
    reads_data = True

    def apply(self, ep: Episode) -> Episode:
        """Relabel, and take the rows."""
        return ep.take(np.arange(0, ep.length, 2)).with_facts(success=True)
