from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FILES = "source.files=[recordings]"
SIZE = ("--frames", 12, "--height", 48, "--width", 64, "--episodes", 2)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("layout", "pipeline", "kept", "frames"),
    [("arena_g1", "arena_g1_locomanip", 2, 22), ("leisaac_lekiwi", "leisaac_lekiwi", 1, 7)],
)
def test_a_sample_its_pipeline_and_what_verify_says(
    robotrove: Callable, layout: str, pipeline: str, kept: int, frames: int
) -> None:
    assert robotrove("sample", layout, "recordings", *SIZE).code == 0
    plan = robotrove("plan", pipeline, FILES, "--json")
    assert (plan.code, plan.json["kept"], plan.json["frames"]) == (0, kept, frames)
    run = robotrove("run", pipeline, FILES, "--output", "out/lerobot", "--workers", 1, "--json")
    assert (run.code, run.json["kept"], run.json["frames"]) == (0, kept, frames)
    verify = robotrove("verify", "out/lerobot", "--source", "out/lerobot.run", "--deep", "--json")
    assert (verify.code, verify.json["ok"]) == (0, True)


def test_without_files_the_mistake_is_named(robotrove: Callable) -> None:
    found = robotrove("run", "leisaac_so101", "--output", "out")
    assert (found.code, found.out) == (2, "")
    assert "leisaac_so101:3: source.files (hdf5_reader): missing" in found.err


def test_an_imported_configuration_runs_and_a_wrong_one_is_told(robotrove: Callable) -> None:
    assert robotrove("sample", "arena_g1", "recordings", *SIZE).code == 0
    text = "hdf5_path: recordings/arena_g1.hdf5\noutput_dir: made\nlanguage_instruction: Carry the box.\n"
    Path("config.yaml").write_text(text + "pov_cam_name_sim: robot_head_cam_rgb\n")
    assert robotrove("import-config", "arena", "config.yaml").code == 0
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["frames"], Path(run.json["output"])) == (0, 22, Path("made").absolute())
    again = robotrove("import-config", "arena", "config.yaml")
    assert (again.code, "pipeline.yaml: already exists" in again.err) == (2, True)
    Path("wrong.yaml").write_text(text + "pov_cam_name: robot_head_cam_rgb\n")
    found = robotrove("import-config", "arena", "wrong.yaml", "-o", "other.yaml")
    assert found.code == 2
    assert "wrong.yaml:4: pov_cam_name: no such" in found.err
    assert "did you mean 'pov_cam_name_sim'?" in found.err
    assert not Path("other.yaml").exists()
