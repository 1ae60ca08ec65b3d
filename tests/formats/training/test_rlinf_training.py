"""`robotrove handoff rlinf`: the fragment against values of RLinf's own configurations, written down by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.cli.datasets.handoff import command
from robotrove.core.errors import UsageError
from robotrove.formats.lerobot.recompute.dataset_recompute import recompute
from robotrove.tests.support.libero import write_libero
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

# examples/embodiment/config of RLinf at a3816b59: model/gr00t.yaml, model/gr00t_n1d6.yaml with
# libero_spatial_ppo_gr00t_n1d6.yaml, model/gr00t_n1d7.yaml, isaaclab_franka_stack_cube_ppo_gr00t.yaml;
# env/libero_*.yaml and env/isaaclab_stack_cube.yaml.
LIBERO_SIZE = {"camera_heights": 256, "camera_widths": 256}
LAB_SIZE = {"table_cam": {"height": 256, "width": 256}, "wrist_cam": {"height": 256, "width": 256}}
EXPECTED = {
    ("n1.5", None): ("gr00t", "libero_franka", "libero", 5, LIBERO_SIZE),
    ("n1.5", "isaaclab_franka"): ("gr00t", "isaaclab_franka", "isaaclab_stack_cube", 16, LAB_SIZE),
    ("n1.6", None): ("gr00t_n1d6", "libero_panda", "libero", 16, LIBERO_SIZE),
    ("n1.7", None): ("gr00t_n1d7", "libero_sim", "libero", 16, LIBERO_SIZE),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rlinf")
    run_shipped("libero_gr00t", [write_libero(folder, "official")], folder / "spatial")
    return folder / "spatial"


def handoff(*arguments: str | Path) -> None:
    command.main(["rlinf", *map(str, arguments)], standalone_mode=False)


def changed(dataset: Path, copy: Path, file: str, change: Callable[[Any], object]) -> Path:
    shutil.copytree(dataset, copy)
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    return copy


@pytest.mark.parametrize(("version", "tag"), EXPECTED)
def test_the_values(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, tag: str | None
) -> None:
    more = ["--version", version, *(["--tag", tag] if tag else [])]
    handoff(dataset, "-o", tmp_path / "out", *more)
    text = (tmp_path / "out/rlinf.yaml").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["evaluation.md", "rlinf.yaml"]
    assert capsys.readouterr().out == f"{text}{tmp_path / 'out'}: rlinf.yaml, evaluation.md\n"
    assert "&" not in text, "an anchor of YAML would be in the way of who pastes a part"
    model_type, embodiment, converter, chunks, size = EXPECTED[version, tag]
    assert yaml.safe_load(text) == {
        "actor": {
            "model": {
                "model_type": model_type,
                "model_path": "/path/to/checkpoint",
                "embodiment_tag": embodiment,
                "obs_converter_type": converter,
                "action_dim": 7,
                "num_action_chunks": chunks,
            }
        },
        "rollout": {"model": {"model_path": "/path/to/checkpoint"}},
        "env": {"train": {"init_params": size}, "eval": {"init_params": size}},
    }
    assert ("must contain experiment_cfg/metadata.json" in text) == (version == "n1.5")
    assert ("backbone_model_path" in text) == (version == "n1.7")
    assert "# num_action_chunks is for a training with 16 actions at a time; with --horizon N" in text


def test_the_size_is_that_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    def smaller(info: Any) -> None:
        for key in ("image", "wrist_image"):
            info["features"][f"observation.images.{key}"]["shape"] = [128, 160, 3]

    handoff(changed(dataset, tmp_path / "small", "meta/info.json", smaller), "-o", tmp_path / "out")
    found = yaml.safe_load((tmp_path / "out/rlinf.yaml").read_text())
    assert found["env"]["eval"]["init_params"] == {"camera_heights": 128, "camera_widths": 160}


def test_cameras_of_two_sizes(dataset: Path, tmp_path: Path) -> None:
    def smaller(info: Any) -> None:
        info["features"]["observation.images.wrist_image"]["shape"] = [128, 160, 3]

    root = changed(dataset, tmp_path / "two", "meta/info.json", smaller)
    with pytest.raises(UsageError, match=r"image is 256x256, wrist_image is 160x128, and GR00T N1\.5 stops"):
        handoff(root, "-o", tmp_path / "out", "--version", "n1.6")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tag", "libero_panda"], r"no configuration of this data for libero_panda with GR00T N1.5[\s\S]*\(n1.6\)"),
        (["--tag", "maniskill_widowx"], "no configuration of this data for maniskill_widowx"),
        (["--version", "n1.7", "--tag", "libero_franka"], "for libero_franka with GR00T N1.7"),
    ],
)
def test_tags_that_do_not_fit(dataset: Path, tmp_path: Path, options: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        handoff(dataset, "-o", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("scale", "offset", "names", "words"),
    [
        (-2.0, 1.0, None, "has values from -1 to 1, but LIBERO in GR00T and RLinf takes 0 (close) to 1 (open)"),
        (0.5, 0.0, "kept", "has values from 0 to 0.5, but LIBERO in GR00T and RLinf takes 0 (close) to 1 (open)"),
        (1.0, 0.0, None, ""),
    ],
)
@pytest.mark.parametrize("arguments", [["rlinf"], ["gr00t", "--robot", "libero", "--version", "n1.6"]])
def test_doubts_about_grippers_are_told(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    scale: float,
    offset: float,
    names: str | None,
    words: str,
) -> None:
    """Without names of LIBERO they may be those of isaaclab_franka, so they are not refused."""

    def nameless(info: Any) -> None:
        for key in ("observation.state", "action") if names is None else ():
            info["features"][key]["names"] = None

    root = changed(dataset, tmp_path / "d", "meta/info.json", nameless)
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        values = [[*row[:6], scale * row[6] + offset] for row in table["action"].to_pylist()]
        place = table.schema.get_field_index("action")
        pq.write_table(table.set_column(place, table.field(place), pa.array(values, table.field(place).type)), path)
    recompute(root, gr00t=True)
    capsys.readouterr()
    command.main([*arguments, str(root), "-o", str(tmp_path / "out")], standalone_mode=False)
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  note: ")]
    assert [note.startswith(f"  note: meta/modality.json, action.gripper: {words}") for note in notes] == [True] * bool(
        words
    )


def test_what_verify_refuses_is_refused(dataset: Path, tmp_path: Path) -> None:
    root = changed(dataset, tmp_path / "d", "meta/modality.json", lambda found: found["state"].pop("yaw"))
    for version in ("n1.5", "n1.6"):
        with pytest.raises(UsageError, match=r"RLinf would refuse or misread it[\s\S]*has no state.yaw"):
            handoff(root, "-o", tmp_path / "out", "--version", version)
    assert not (tmp_path / "out").exists()


def test_data_of_maniskill(dataset: Path, tmp_path: Path) -> None:
    """Its environment has no size of cameras to set; the action is what modality.json names."""

    def maniskill(found: Any) -> None:
        found["video"] = {"ego_view": found["video"]["image"]}
        found["state"] = {"left_arm": {"start": 0, "end": 8, "original_key": "observation.state"}}
        found["action"] = {"left_arm": {"start": 0, "end": 7, "original_key": "action"}}

    root = changed(dataset, tmp_path / "d", "meta/modality.json", maniskill)
    handoff(root, "-o", tmp_path / "out")
    found = yaml.safe_load((tmp_path / "out/rlinf.yaml").read_text())
    assert found["actor"]["model"]["embodiment_tag"] == "maniskill_widowx"
    assert found["actor"]["model"]["obs_converter_type"] == "maniskill"
    assert found["actor"]["model"]["action_dim"] == 7
    assert "env" not in found
    with pytest.raises(UsageError, match=r"this data for this release with GR00T N1\.6"):
        handoff(root, "-o", tmp_path / "more", "--version", "n1.6")
