"""The LeRobot installations that judge, each a Python of its own, and what they report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RELEASES = {"0.3.3": "ROBOTROVE_JUDGE_033", "0.4.4": "ROBOTROVE_JUDGE_044", "0.6.1": "ROBOTROVE_JUDGE_061"}
V21_RELEASES = ("0.3.3",)
V30_RELEASES = ("0.4.4", "0.6.1")
BACKENDS = ("torchcodec", "pyav")
TIMEOUT_S = 600


def need(releases: Iterable[str]) -> None:
    """Skip where the environment of one of these releases is missing."""
    missing = [RELEASES[release] for release in releases if RELEASES[release] not in os.environ]
    if not missing:
        return
    pytest.skip(f"{' and '.join(missing)} not set: the path of a Python with that release of LeRobot")


def run_script(
    release: str, script: str, *arguments: str | Path, folder: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder with the Python of a release; `more` are environment variables."""
    need([release])
    # A home of its own: nothing cached can help, and HF_HUB_OFFLINE is not set, so that it would try the network.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    # The version of `datasets` that 0.3.3 needs reports every load to a counter; SVT-AV1 writes to stderr.
    environment |= {"HF_HOME": str(folder / "home"), "HF_UPDATE_DOWNLOAD_COUNTS": "0", "SVT_LOG": "1"} | more
    command = [os.environ[RELEASES[release]], Path(__file__).with_name(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)


class Seen:
    """What a judge saw of a dataset: `seen["torchcodec/action"]`, `seen.facts`.

    Args:
        path: What judge.py has written.
        release: The release that it must have been.
    """

    def __init__(self, path: Path, release: str) -> None:
        self._arrays = np.load(path)
        self.facts: dict[str, Any] = json.loads(str(self._arrays["facts"]))
        assert self.facts["lerobot"] == release, f"{RELEASES[release]} names a Python with another LeRobot"

    @property
    def error(self) -> str:
        """Traceback if this release could not use the dataset, else empty."""
        return str(self.facts.get("error", ""))

    @cached_property
    def names(self) -> set[str]:
        return set(self._arrays.files)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]
