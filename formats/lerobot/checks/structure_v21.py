"""info.json of v2.1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import paths_v30
from .base import Finding
from .structure import StructureCheck


class StructureV21Check(StructureCheck):
    """Keys, types and features of info.json."""

    data_fields = "{episode_chunk} and {episode_index}"
    video_fields = "{video_key}, {episode_chunk} and {episode_index}"

    def keys(self, info: dict[str, Any]) -> Iterator[Finding]:
        """Yield what is wrong with keys that only this version has."""
        for key in ("total_videos", "total_chunks"):
            if key not in info:
                # 0.3.3 loads it, but neither appends to it nor converts it to v3.0: KeyError.
                yield self.error(
                    paths_v30.INFO, f"{key} is missing: LeRobot cannot add episodes, or convert it to v3.0"
                )
            elif type(info[key]) is not int or info[key] < 0:
                yield self.wrong(info, key, "a count")
