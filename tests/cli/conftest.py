from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from robotrove.cli import main
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.spec.pipeline_draft import guess, pipeline_text


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def robotrove(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["robotrove", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        return Outcome(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings (isaaclab.hdf5, the last of 3 failed), pipeline.yaml, dataset and dataset.run."""
    folder = tmp_path_factory.mktemp("converted")
    write_sample("isaaclab", folder, episodes=3, frames=8, height=48, width=48, cameras=("front",))
    (folder / "pipeline.yaml").write_text(pipeline_text(guess([folder]), str(folder / "dataset")), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["robotrove", "run", str(folder / "pipeline.yaml"), "--workers", "1"])
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code == 0
    return folder
