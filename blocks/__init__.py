"""Blocks: one verb, one file. The registry maps names of pipeline files to classes."""

from __future__ import annotations

from ..core.registry import Registry

BLOCKS = Registry(
    "block",
    __name__,
    {
        "hdf5_reader": "hdf5_reader:Hdf5Reader",
        "success_filter": "success_filter:SuccessFilter",
        "length_filter": "length_filter:LengthFilter",
        "frame_trimmer": "frame_trimmer:FrameTrimmer",
        "joint_remapper": "joint_remapper:JointRemapper",
        "unit_converter": "unit_converter:UnitConverter",
        "image_resizer": "image_resizer:ImageResizer",
        "annotator": "annotator:Annotator",
        "column_adder": "column_adder:ColumnAdder",
        "shard_writer": "shard_writer:ShardWriter",
        "aggregator": "aggregator:Aggregator",
        "dataset_stats": "dataset_stats:DatasetStats",
        "downgrader": "downgrader:Downgrader",
        "gr00t_files": "gr00t_files:Gr00tFiles",
        "verifier": "verifier:Verifier",
        "hub_publisher": "hub_publisher:HubPublisher",
        "osmo_publisher": "osmo_publisher:OsmoPublisher",
    },
)
