"""Commands of Slurm that scripts stand for, on the PATH before all others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest


def put_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, scripts: Mapping[str, str]) -> Path:
    """Put scripts of the shell on the PATH by name, and a scancel; returns the file into which that writes.

    Args:
        folder: Takes the folder of the commands.
        monkeypatch: Changes the PATH.
        scripts: Name of a command to its lines.
    """
    cancelled = folder / "cancelled"
    (folder / "bin").mkdir()
    for name, script in {**scripts, "scancel": f'echo "$@" >> {cancelled}'}.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
    return cancelled
