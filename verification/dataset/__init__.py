"""Checks of a dataset: one registry per version of the format."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.registry import Registry

# In this order: what comes first explains what would go wrong later.
CHECKS: Mapping[str, Registry] = {
    "v2.1": Registry(
        "check of v2.1",
        __name__,
        {
            "structure": "structure:StructureV21Check",
            "tasks": "tasks:TasksV21Check",
            "files": "files:FilesV21Check",
            "checksums": "checksums:ChecksumsCheck",
            "counts": "structure:CountsV21Check",
            "episodes": "episodes:EpisodesV21Check",
            "hf_features": "rows:HfFeaturesCheck",
            "rows": "rows:RowsV21Check",
            "timestamps": "timestamps:TimestampsV21Check",
            "images": "cameras:ImagesCheck",
            "videos": "cameras:VideosV21Check",
            "stats": "stats:StatsV21Check",
            "gr00t": "gr00t_files:Gr00tCheck",
        },
    ),
    "v3.0": Registry(
        "check of v3.0",
        __name__,
        {
            "structure": "structure:StructureV30Check",
            "tasks": "tasks:TasksV30Check",
            "files": "files:FilesV30Check",
            "checksums": "checksums:ChecksumsCheck",
            "counts": "structure:CountsCheck",
            "episodes": "episodes:EpisodesV30Check",
            "rows": "rows:RowsCheck",
            "language": "rows:LanguageCheck",
            "timestamps": "timestamps:TimestampsCheck",
            "images": "cameras:ImagesCheck",
            "videos": "cameras:VideosCheck",
            "stats": "stats:StatsV30Check",
        },
    ),
}
