"""Runs with a block that fails: the episode that it worked on is rejected with file and line, the rest is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    sample,
    write_pipeline,
)

BLOCK = """\
import numpy as np
from robotrove.blocks.episode_step import EpisodeMap


def broken(batch):
    return batch / np.zeros(2)  # line 6


class Broken(EpisodeMap):
    name = "broken"

    def __init__(self, *, how: str):
        super().__init__()
        self.how = how

    def apply(self, ep):
        if not ep.origin.key.endswith("1"):
            return ep
        if self.how == "apply":
            return ep.columns["nothing"]  # line 20
        if self.how == "memory":
            raise MemoryError("no room")
        return ep.map_column("action", broken)
"""


@pytest.mark.parametrize(
    ("how", "reason", "detail"),
    [
        ("apply", "step_failed", "block broken: KeyError: 'nothing', at {file}:20"),
        ("lazily", "step_failed", "column action of episode a.hdf5:data/demo_1: ValueError: operands could not be"),
        ("memory", "too_large", "block broken needs more memory than there is: no room"),
    ],
)
def test_one_episode_of_three_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str, detail: str
) -> None:
    name = f"block_{how}"
    (tmp_path / f"{name}.py").write_text(BLOCK)
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = [{"use": f"{name}:Broken", "how": how}]
    report = run_here(write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 3, 6)], steps=steps), tmp_path / "out")
    assert (report.kept, report.rejected) == (2, {reason: 1})
    [line] = [json.loads(text) for text in (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines()]
    assert (line["key"], line["reason"], line["error"]) == ("data/demo_1", reason, True)
    assert line["detail"].startswith(detail.format(file=tmp_path / f"{name}.py"))
    if how == "lazily":
        assert line["detail"].endswith(f", at {tmp_path / name}.py:6")
