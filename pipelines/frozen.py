"""The pipeline of a run as it was frozen when the run was created."""

from __future__ import annotations

from functools import lru_cache

from ..core.workspace import Workspace
from .spec import PipelineSpec


def frozen_spec(workspace: Workspace) -> PipelineSpec:
    """Return the pipeline of a run that exists."""
    return _parsed(workspace.pipeline.read_text(encoding="utf-8"), str(workspace.pipeline))


@lru_cache(maxsize=1)  # a worker asks for every rank, and a frozen pipeline with many datasets takes a while to check
def _parsed(text: str, source: str) -> PipelineSpec:
    return PipelineSpec.from_yaml(text, source)
