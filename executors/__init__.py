"""Where ranks run."""

from __future__ import annotations

from ..core.registry import Registry

EXECUTORS = Registry(
    "executor",
    __name__,
    {"local": "local:LocalExecutor", "slurm": "slurm.slurm_executor:SlurmExecutor", "ray": "ray:RayExecutor"},
)
