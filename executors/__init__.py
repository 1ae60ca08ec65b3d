"""Executors: they run the ranks of a stage, here or on a cluster."""

from __future__ import annotations

from ..core.registry import Registry

EXECUTORS = Registry(
    "executor",
    __name__,
    {"local": "local:LocalExecutor", "slurm": "slurm.slurm_executor:SlurmExecutor", "ray": "ray:RayExecutor"},
)
