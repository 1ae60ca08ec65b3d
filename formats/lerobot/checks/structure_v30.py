"""info.json of v3.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import paths_v30
from .base import Finding
from .structure import StructureCheck


class StructureV30Check(StructureCheck):
    """Keys, types and features of info.json."""

    data_fields = "{chunk_index} and {file_index}"
    video_fields = "{video_key}, {chunk_index} and {file_index}"

    def keys(self, info: dict[str, Any]) -> Iterator[Finding]:
        """Yield what is wrong with keys that only this version has."""
        for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
            if type(info.get(key)) not in (int, float) or not info[key] > 0:
                yield self.wrong(info, key, "a positive number")
        if type(info.get("chunks_size")) is int and info["chunks_size"] > paths_v30.CHUNKS_SIZE:
            # LeRobot sorts paths as text: file-1000 would come before file-999.
            yield self.wrong(info, "chunks_size", f"at most {paths_v30.CHUNKS_SIZE}")
