"""Blocks that know a robot by its manifest, in a pipeline: a file of one's own, and where gr00t_files stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.errors import ConfigError
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline

ROBOT = "name: r\nrobot_type: r\njoints: [{name: a, range_deg: [-1, 1], motor_range: [0, 1]}]\n"
SOURCE = "source: {files: [a], layout: isaaclab}\n"


def load(folder: Path, text: str) -> PipelineSpec:
    (folder / "pipeline.yaml").write_text(SOURCE + text)
    return load_pipeline(folder / "pipeline.yaml").spec


def test_a_robot_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.yaml").write_text(ROBOT)
    (tmp_path / "other").mkdir()
    steps = "steps: [joint_remapper: {robot: my.yaml}, unit_converter: {robot: my.yaml}]\n"
    text = f"{steps}dataset: [downgrader, gr00t_files: {{robot: my.yaml}}]\n"
    spec = load(tmp_path, text)
    monkeypatch.chdir(tmp_path / "other")
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    assert load(tmp_path, text) == spec
    blocks = (*spec.steps, spec.dataset[1])
    assert [block.arguments["robot"] for block in blocks] == [str(tmp_path / "my.yaml")] * 3


@pytest.mark.parametrize(
    ("dataset", "place"),
    [
        ("gr00t_files: {robot: so101}, downgrader", 0),
        ("aggregator, gr00t_files: {robot: so101}, downgrader", 1),
        ("aggregator, dataset_stats, gr00t_files: {robot: so101}", 2),
    ],
)
def test_gr00t_files_stand_after_the_dataset_that_they_are_for(tmp_path: Path, dataset: str, place: int) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"dataset: [{dataset}]\n")
    [problem] = caught.value.problems
    assert problem.message.startswith(f"dataset[{place}] (gr00t_files): works on the dataset of v2.1, which no block")
