"""What a finished dataset is checked for: one file per check."""

from __future__ import annotations

from ....core.registry import Registry

# In this order: what comes first explains what would go wrong later.
CHECKS = Registry(
    "check",
    __name__,
    {
        "structure": "structure:StructureCheck",
        "tasks": "tasks:TasksCheck",
        "files": "files:FilesCheck",
        "counts": "counts:CountsCheck",
        "episodes": "episodes:EpisodesCheck",
        "rows": "rows:RowsCheck",
        "timestamps": "timestamps:TimestampsCheck",
        "images": "images:ImagesCheck",
        "videos": "videos:VideosCheck",
        "stats": "stats:StatsCheck",
    },
)
