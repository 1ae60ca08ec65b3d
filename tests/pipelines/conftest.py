from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from robotrove.core.errors import ConfigError
from robotrove.core.registry import Registry
from robotrove.pipelines.spec import block_lookup, json_schema
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline

SAMPLES = "robotrove.tests.support.blocks.sample_blocks"


@pytest.fixture
def sample_registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registered names that the tests use, standing for the small blocks of `sample_blocks`."""
    classes = {
        "hdf5_reader": "Reader",
        "shard_writer": "Writer",
        "success_filter": "SuccessFilter",
        "length_filter": "LengthFilter",
        "aggregator": "Joiner",
        "dataset_stats": "Measurer",
        "downgrader": "Cutter",
    }
    package, _, module = SAMPLES.rpartition(".")
    registry = Registry("block", package, {name: f"{module}:{cls}" for name, cls in classes.items()})
    monkeypatch.setattr(block_lookup, "BLOCKS", registry)
    monkeypatch.setattr(json_schema, "BLOCKS", registry)
    monkeypatch.setattr(sys, "path", list(sys.path))  # loading outside code adds folders to it
    return registry


@pytest.fixture
def mistakes_in(sample_registry: Registry, tmp_path: Path) -> Callable[..., list[tuple[int, str]]]:
    """Load a text that is wrong; return (line, message) of each mistake."""

    def load(text: str, overrides: Sequence[str] = ()) -> list[tuple[int, str]]:
        path = tmp_path / "pipeline.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_pipeline(path, overrides)
        assert str(caught.value).startswith(str(path))
        return [(problem.line, problem.message) for problem in caught.value.problems]

    return load


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of its own, of so many KiB; asked again, it is resized."""
    mount = tmp_path / "disk"
    mount.mkdir()

    def size(kib: int) -> Path:
        option = f"remount,size={kib}k" if mount.is_mount() else f"size={kib}k"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(mount)], capture_output=True, text=True
        )
        if done.returncode:
            if os.environ.get("CI"):
                pytest.fail(f"a tmpfs must be mountable in CI: {done.stderr}")
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        return mount

    yield size
    if mount.is_mount():
        subprocess.run(["umount", str(mount)], check=True)
