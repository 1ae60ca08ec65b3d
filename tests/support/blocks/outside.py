"""A block, a layout and an encoder that robotrove does not know, as a lab would write them."""

from __future__ import annotations

import h5py

from robotrove.blocks.episode_step import EpisodeFilter
from robotrove.core.episode import Episode
from robotrove.formats.hdf5.layouts.isaaclab import IsaacLabLayout
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
