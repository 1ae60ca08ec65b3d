from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robotrove.cli import main
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.spec.pipeline_draft import guess, pipeline_text
from robotrove.tests.support.command import robotrove

__all__ = ["robotrove"]


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
