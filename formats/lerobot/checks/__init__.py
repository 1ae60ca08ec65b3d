"""What a finished dataset is checked for: one file per check, one registry per version of the format."""

from __future__ import annotations

from collections.abc import Mapping

from ....core.registry import Registry

# In this order: what comes first explains what would go wrong later.
CHECKS: Mapping[str, Registry] = {
    "v2.1": Registry(
        "check of v2.1",
        __name__,
        {
            "structure": "structure_v21:StructureV21Check",
            "tasks": "tasks_v21:TasksV21Check",
            "files": "files_v21:FilesV21Check",
            "counts": "counts_v21:CountsV21Check",
            "episodes": "episodes_v21:EpisodesV21Check",
            "hf_features": "hf_features:HfFeaturesCheck",
            "rows": "rows_v21:RowsV21Check",
            "timestamps": "timestamps_v21:TimestampsV21Check",
            "images": "images:ImagesCheck",
            "videos": "videos_v21:VideosV21Check",
            "stats": "stats_v21:StatsV21Check",
            "gr00t": "gr00t:Gr00tCheck",
        },
    ),
    "v3.0": Registry(
        "check of v3.0",
        __name__,
        {
            "structure": "structure_v30:StructureV30Check",
            "tasks": "tasks_v30:TasksV30Check",
            "files": "files_v30:FilesV30Check",
            "counts": "counts:CountsCheck",
            "episodes": "episodes_v30:EpisodesV30Check",
            "rows": "rows:RowsCheck",
            "timestamps": "timestamps:TimestampsCheck",
            "images": "images:ImagesCheck",
            "videos": "videos:VideosCheck",
            "stats": "stats_v30:StatsV30Check",
        },
    ),
}
