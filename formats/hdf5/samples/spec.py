"""What a sample file is to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ....core.errors import UsageError

Compression: TypeAlias = Literal["gzip", "lzf"]
MIN_SIDE = 48  # the marker needs it


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """The arguments of `write_sample`, checked.

    Raises:
        UsageError: If one does not fit.
    """

    episodes: int
    frames: int
    height: int
    width: int
    cameras: tuple[str, ...]
    seed: int
    compression: Compression | None
    fps: int

    def __post_init__(self) -> None:
        limits = {"episodes": 1, "frames": 1, "height": MIN_SIDE, "width": MIN_SIDE, "fps": 1}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise UsageError(f"sample, {name}", f"{getattr(self, name)} is too small", f"at least {least}")
        if len(set(self.cameras)) < len(self.cameras) or not all(self.cameras) or "/" in "".join(self.cameras):
            raise UsageError("sample, cameras", f"{self.cameras} do not fit", "different names without '/'")

    def success(self, episode: int) -> bool | None:
        """Return the label of an episode: the last failed; of four or more, the one before has none."""
        if episode == self.episodes - 1:
            return False
        return None if self.episodes >= 4 and episode == self.episodes - 2 else True
