"""robotrove: robot demonstrations in HDF5 to LeRobot datasets, fast, resumable and provably right."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__

if TYPE_CHECKING:
    from .blocks.episode_step import EpisodeFilter, EpisodeMap
    from .blocks.publish.hub_publisher import HubPublisher
    from .blocks.source.hdf5_reader import Hdf5Reader
    from .blocks.steps.episode_selector import EpisodeSelector
    from .blocks.steps.frame_trimmer import FrameTrimmer
    from .blocks.steps.image_resizer import ImageResizer
    from .blocks.steps.joint_remapper import JointRemapper
    from .blocks.steps.length_filter import LengthFilter
    from .blocks.steps.success_filter import SuccessFilter
    from .blocks.steps.task_relabel import TaskRelabel
    from .blocks.steps.unit_converter import UnitConverter
    from .blocks.writer.shard_writer import ShardWriter
    from .core.episode import Episode
    from .core.errors import DatasetDamaged, RobotroveError
    from .core.source_file import PathText
    from .executors.slurm.slurm_executor import SlurmExecutor
    from .formats.lerobot.datasets.dataset import Dataset
    from .formats.lerobot.datasets.open_dataset import open_dataset
    from .media.encode.settings import VideoSettings
    from .pipelines.pipeline import Pipeline

_HOMES = {
    "Dataset": "formats.lerobot.datasets.dataset",
    "DatasetDamaged": "core.errors",
    "Episode": "core.episode",
    "EpisodeFilter": "blocks.episode_step",
    "EpisodeMap": "blocks.episode_step",
    "EpisodeSelector": "blocks.steps.episode_selector",
    "FrameTrimmer": "blocks.steps.frame_trimmer",
    "Hdf5Reader": "blocks.source.hdf5_reader",
    "HubPublisher": "blocks.publish.hub_publisher",
    "ImageResizer": "blocks.steps.image_resizer",
    "JointRemapper": "blocks.steps.joint_remapper",
    "LengthFilter": "blocks.steps.length_filter",
    "PathText": "core.source_file",
    "Pipeline": "pipelines.pipeline",
    "RobotroveError": "core.errors",
    "ShardWriter": "blocks.writer.shard_writer",
    "SlurmExecutor": "executors.slurm.slurm_executor",
    "SuccessFilter": "blocks.steps.success_filter",
    "TaskRelabel": "blocks.steps.task_relabel",
    "UnitConverter": "blocks.steps.unit_converter",
    "VideoSettings": "media.encode.settings",
    "open_dataset": "formats.lerobot.datasets.open_dataset",
}

__all__ = [
    "Dataset",
    "DatasetDamaged",
    "Episode",
    "EpisodeFilter",
    "EpisodeMap",
    "EpisodeSelector",
    "FrameTrimmer",
    "Hdf5Reader",
    "HubPublisher",
    "ImageResizer",
    "JointRemapper",
    "LengthFilter",
    "PathText",
    "Pipeline",
    "RobotroveError",
    "ShardWriter",
    "SlurmExecutor",
    "SuccessFilter",
    "TaskRelabel",
    "UnitConverter",
    "VideoSettings",
    "__version__",
    "open_dataset",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `robotrove --help` loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'robotrove' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
