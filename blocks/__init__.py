"""Blocks: one block, one file. The registry maps names of pipeline files to classes."""

from __future__ import annotations

from ..core.registry import Registry

BLOCKS = Registry(
    "block",
    __name__,
    {
        "hdf5_reader": "source.hdf5_reader:Hdf5Reader",
        "success_filter": "steps.success_filter:SuccessFilter",
        "length_filter": "steps.length_filter:LengthFilter",
        "episode_selector": "steps.episode_selector:EpisodeSelector",
        "task_relabel": "steps.task_relabel:TaskRelabel",
        "frame_trimmer": "steps.frame_trimmer:FrameTrimmer",
        "joint_remapper": "steps.joint_remapper:JointRemapper",
        "unit_converter": "steps.unit_converter:UnitConverter",
        "image_resizer": "steps.image_resizer:ImageResizer",
        "annotator": "steps.annotator:Annotator",
        "column_adder": "steps.column_adder:ColumnAdder",
        "shard_writer": "writer.shard_writer:ShardWriter",
        "aggregator": "dataset.aggregator:Aggregator",
        "dataset_stats": "dataset.dataset_stats:DatasetStats",
        "downgrader": "dataset.downgrader:Downgrader",
        "gr00t_files": "dataset.gr00t_files:Gr00tFiles",
        "verifier": "dataset.verifier:Verifier",
        "hub_publisher": "publish.hub_publisher:HubPublisher",
        "osmo_publisher": "publish.osmo_publisher:OsmoPublisher",
    },
)
