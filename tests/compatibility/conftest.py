from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robotrove.tests.support.command import robotrove

__all__ = ["robotrove"]

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in GOLDEN.iterdir())
FIRST = "0.1.0-e51a79d"  # before version 0.1.0 could merge, append, write v2.1 or use a cluster


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Unpack the golden files of a version (see make_golden.py), and work in their folder."""

    def unpack(version: str) -> Path:
        folder = tmp_path / version
        shutil.unpack_archive(GOLDEN / f"{version}.tar.xz", folder)
        monkeypatch.chdir(folder)  # the pipeline names its recordings from there
        return folder

    return unpack
