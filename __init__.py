"""robotrove: robot demonstrations in HDF5 to LeRobot datasets, fast, resumable and provably right."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__

if TYPE_CHECKING:
    from .blocks.base import EpisodeFilter, EpisodeMap
    from .blocks.frame_trimmer import FrameTrimmer
    from .blocks.hdf5_reader import Hdf5Reader
    from .blocks.hub_publisher import HubPublisher
    from .blocks.image_resizer import ImageResizer
    from .blocks.joint_remapper import JointRemapper
    from .blocks.length_filter import LengthFilter
    from .blocks.shard_writer import ShardWriter
    from .blocks.success_filter import SuccessFilter
    from .blocks.unit_converter import UnitConverter
    from .core.episode import Episode
    from .core.errors import RobotroveError
    from .executors.slurm.slurm_executor import SlurmExecutor
    from .pipelines.pipeline import Pipeline

_HOMES = {
    "Episode": "core.episode",
    "EpisodeFilter": "blocks.base",
    "EpisodeMap": "blocks.base",
    "FrameTrimmer": "blocks.frame_trimmer",
    "Hdf5Reader": "blocks.hdf5_reader",
    "HubPublisher": "blocks.hub_publisher",
    "ImageResizer": "blocks.image_resizer",
    "JointRemapper": "blocks.joint_remapper",
    "LengthFilter": "blocks.length_filter",
    "Pipeline": "pipelines.pipeline",
    "RobotroveError": "core.errors",
    "ShardWriter": "blocks.shard_writer",
    "SlurmExecutor": "executors.slurm.slurm_executor",
    "SuccessFilter": "blocks.success_filter",
    "UnitConverter": "blocks.unit_converter",
}

__all__ = [
    "Episode",
    "EpisodeFilter",
    "EpisodeMap",
    "FrameTrimmer",
    "Hdf5Reader",
    "HubPublisher",
    "ImageResizer",
    "JointRemapper",
    "LengthFilter",
    "Pipeline",
    "RobotroveError",
    "ShardWriter",
    "SlurmExecutor",
    "SuccessFilter",
    "UnitConverter",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `robotrove --help` loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'robotrove' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
