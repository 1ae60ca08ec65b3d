from __future__ import annotations

from pathlib import Path

from datatrove.utils.logging import logger

from robotrove.executors.rank_runner import RankRunner
from robotrove.executors.stage import Stage


def test_lines_of_the_log_have_no_control_characters(tmp_path: Path) -> None:
    def step(data: object, rank: int = 0, world_size: int = 1) -> None:
        logger.info("reads a\x1b[2J\x9b\u202e.hdf5\nnext\tline")

    stage = Stage("noting", 1, tmp_path / "logs", lambda: [step], (), "robotrove run x.yaml", tmp_path)
    RankRunner(stage).run()
    text = (tmp_path / "logs/logs/task_00000.log").read_text()
    assert r"reads a\x1b[2J\x9b\u202e.hdf5" in text
    assert "\nnext\tline" in text
    assert not set("\x1b\x9b\u202e") & set(text)
