from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.sample_spec import action
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.places import SHARED_DATA, needs

RECORDINGS = SHARED_DATA / "isaaclab"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("layout", "kept", "width"),
    [("isaaclab", 2, 7), ("piper", 3, 14), ("aloha", 3, 14), ("robomimic", 3, 7), ("libero", 3, 7)],
)
def test_from_nothing_to_a_verified_dataset(robotrove: Callable, layout: str, kept: int, width: int) -> None:
    options = ("--frames", 6, "--height", 48, "--width", 48, "--cameras", "front")
    assert robotrove("sample", layout, "recordings", *options).code == 0
    files = sorted(Path("recordings").glob("*.hdf5"))
    init = robotrove("init", *files)
    assert init.code == 0
    assert "3 episodes, 18 frames" in init.out
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["kept"], run.json["listed"]) == (0, kept, 3)
    output = run.json["output"]
    verify = robotrove("verify", output, "--source", f"{output}.run", "--deep", "--json")
    assert (verify.code, verify.json["ok"]) == (0, True)
    assert (verify.json["source"]["episodes"], verify.json["source"]["frames"]) == (kept, 6 * kept)
    table = pq.read_table(Path(output, "data/chunk-000/file-000.parquet"))
    expected = np.concatenate([action(episode, 6, width) for episode in range(kept)])
    np.testing.assert_array_equal(np.array(table["action"].to_pylist(), np.float32), expected)


def test_a_folder_with_folders_and_upper_case_suffixes(robotrove: Callable, tmp_path: Path) -> None:
    """What init counts is what run converts: action 3·d is that of the first episode in day d."""
    for day, name in enumerate(("rec/one.HDF5", "rec/day_2/two.H5", "rec/day_10/deep/three.hdf5", "rec/.old/x.hdf5")):
        options = {"episodes": 1, "frames": 4, "height": 48, "width": 48, "cameras": ("front",), "seed": day}
        (path,) = write_sample("isaaclab", tmp_path / f"sample_{day}", **options)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(tmp_path / name)
    assert "layout isaaclab, 3 episodes, 12 frames" in robotrove("init", "rec").out
    assert load_pipeline(Path("pipeline.yaml")).spec.source.arguments["files"] == ["rec"]
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["kept"]) == (0, 3)
    rows = pq.read_table("rec_lerobot/data/chunk-000/file-000.parquet")["action"].to_pylist()
    expected = np.concatenate([action(0, 4, 7, day) for day in (1, 2, 0)])  # day_2, day_10, one
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)


@needs(RECORDINGS)
def test_real_recordings(robotrove: Callable) -> None:
    assert "26 episodes, 5,899 frames" in robotrove("init", *sorted(RECORDINGS.glob("*.hdf5"))).out
    text = Path("pipeline.yaml").read_text()
    assert "- success_filter  # keeps successes only; found 10 successes, 16 failures, 0 without a label" in text
    assert "    # observation.cube_positions: obs/cube_positions  # (T, 9) float32" in text
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["listed"], run.json["kept"], run.json["frames"]) == (0, 26, 10, 2163)
    assert run.json["rejected"] == {"not_successful": 16}
    verify = robotrove("verify", "isaaclab_lerobot", "--source", "isaaclab_lerobot.run", "--json")
    assert (verify.code, verify.json["ok"], verify.json["source"]["episodes"]) == (0, True, 10)


def test_never_overwrites(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "a", frames=2)
    Path("pipeline.yaml").write_text("mine")
    found = robotrove("init", "a")
    assert (found.code, found.out) == (2, "")
    assert "already exists" in found.err
    assert Path("pipeline.yaml").read_text() == "mine"
    assert robotrove("init", "a", "-o", "other.yaml").code == 0
    assert load_pipeline(Path("other.yaml")).spec.source.arguments["layout"] == "aloha"


def test_mixed_layouts(robotrove: Callable, tmp_path: Path) -> None:
    for layout in ("aloha", "piper"):
        write_sample(layout, tmp_path / "a", episodes=1, frames=2)
    found = robotrove("init", "a")
    assert found.code == 2
    assert "differ in their layout" in found.err
    assert "aloha: a/episode_0.hdf5" in found.err
    assert "piper: a/piper.hdf5" in found.err
    assert not Path("pipeline.yaml").exists()


def test_no_known_layout(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("generic", tmp_path, frames=2)
    found = robotrove("init", "generic.hdf5")
    assert found.code == 2
    assert "robotrove inspect generic.hdf5" in found.err


def test_a_bad_file_among_good_ones_is_named(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "a", episodes=2, frames=2)
    Path("a/episode_1.hdf5").write_bytes(b"")
    found = robotrove("init", "a")
    assert found.code == 0
    assert found.err == "warning: a/episode_1.hdf5 has 0 bytes (empty_file)\n"
    assert "# Cannot be used: a/episode_1.hdf5 has 0 bytes (empty_file)" in Path("pipeline.yaml").read_text()


def test_only_bad_files(robotrove: Callable, tmp_path: Path) -> None:
    Path("a.hdf5").write_bytes(b"")
    found = robotrove("init", "a.hdf5")
    assert (found.code, found.err) == (2, "error: a.hdf5 has 0 bytes (empty_file)\n")
    Path("empty").mkdir()
    assert robotrove("init", "empty").code == 2


def test_a_target_that_cannot_be_written(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "a", episodes=1, frames=2)
    found = robotrove("init", "a", "-o", "no/such/folder.yaml")
    assert found.code == 2
    assert "cannot be written" in found.err
