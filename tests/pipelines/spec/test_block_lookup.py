"""The registered blocks themselves: each has a schema, and a pipeline file of the usual size loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robotrove.blocks import BLOCKS
from robotrove.core.errors import ConfigError
from robotrove.pipelines.spec.arguments import arguments_model, arguments_of, build
from robotrove.pipelines.spec.block_lookup import role_of
from robotrove.pipelines.spec.json_schema import json_schema
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline

CONVERSION = """\
source: {files: ["data/*.hdf5"], layout: isaaclab, task: pick the orange}
steps:
  - success_filter
  - {use: length_filter, min_length: 20}
  - joint_remapper: {robot: so101}
writer: {robot_type: so101_follower, video: {codec: libx264, crf: 23}}
formats: [v3.0]
output: out/my_dataset
"""


@pytest.mark.parametrize("name", [*BLOCKS])
def test_every_argument_of_a_registered_block_is_explained(name: str) -> None:
    cls = BLOCKS[name]
    assert cls.name == name
    unexplained = [key for key, field in arguments_model(cls).model_fields.items() if not field.description]
    assert unexplained == []


def test_a_conversion_loads_and_its_blocks_give_their_arguments_back(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(CONVERSION)
    spec = load_pipeline(path).spec
    assert [block.use for block in spec.blocks()] == [
        "hdf5_reader", "success_filter", "length_filter", "joint_remapper", "shard_writer", "aggregator",
        "dataset_stats",
    ]  # fmt: skip
    assert spec.writer.arguments["video"]["crf"] == 23
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    for block in spec.blocks():
        assert arguments_of(build(block)) == block.arguments


def test_mistakes_in_real_blocks_have_lines(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        CONVERSION.replace("isaaclab", "isaaclob").replace("so101}", "so100}").replace("crf: 23", "crf: 99")
    )
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    assert [(problem.line, problem.message.split(":")[0]) for problem in caught.value.problems] == [
        (1, "source (hdf5_reader)"),
        (5, "steps[2] (joint_remapper)"),
        (6, "writer.video (shard_writer)"),
    ]
    assert "did you mean 'isaaclab'?" in caught.value.problems[0].message


def test_the_schema_covers_every_block_that_a_file_can_use() -> None:
    schema = json_schema()
    usable = {name for name in BLOCKS if role_of(BLOCKS[name]) is not None}
    assert {f"{name} arguments" for name in usable} <= set(schema["$defs"])
    references = {part.split('"')[0] for part in json.dumps(schema).split('"#/$defs/')[1:]}
    assert references <= set(schema["$defs"])
