"""Resolved pipeline: the video settings of its writer, and the digest that tells it apart."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

from ...media.encode.settings import VideoSettings
from .arguments import BlockSpec, build
from .block_lookup import module_of
from .pipeline_spec import PipelineSpec


def video_of(spec: PipelineSpec) -> VideoSettings:
    """Return how a pipeline encodes: as its writer says, or the first dataset block that says it."""
    blocks = (spec.writer,) if spec.writer else spec.dataset
    found = (getattr(build(block), "video", None) for block in blocks)
    return next((video for video in found if isinstance(video, VideoSettings)), VideoSettings())


def code_digest(spec: PipelineSpec) -> str:
    """Return the sha256 of what the blocks read besides their arguments.

    That is the source of the modules that `use: module:Class` names, though not of what these import,
    and the YAML files that arguments name, such as a robot manifest of one's own.
    """
    modules = {module.__name__: module for block in spec.blocks() if (module := module_of(block.use))}
    digest = hashlib.sha256()
    for name in sorted(modules):
        source = Path(inspect.getfile(modules[name])).read_bytes()
        digest.update(f"{name} {len(source)}\n".encode() + source)
    for path in sorted({path for block in spec.blocks() for path in _named_files(block)}):
        digest.update(path.encode() + b"\n" + Path(path).read_bytes())
    return digest.hexdigest()


def _named_files(block: BlockSpec) -> list[str]:
    texts = [value for value in block.arguments.values() if isinstance(value, str)]
    return [text for text in texts if text.endswith((".yaml", ".yml")) and Path(text).is_file()]


def spec_digest(spec: PipelineSpec, version: str) -> str:
    """Return the sha256 of what determines the dataset: content, outside code, robotrove's version.

    The order of keys counts: it can be an order of joints.
    """
    parts = {"content": spec.content(), "code": code_digest(spec), "version": version}
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
