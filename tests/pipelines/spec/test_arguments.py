from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robotrove.blocks.episode_step import EpisodeFilter
from robotrove.core.errors import ConfigError, UsageError
from robotrove.pipelines.spec.arguments import BlockSpec, arguments_model, arguments_of, build
from robotrove.pipelines.spec.block_lookup import use_of
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline, pipeline_of
from robotrove.tests.support.blocks import sample_blocks
from robotrove.tests.support.blocks.sample_blocks import (
    Column,
    Everything,
    LengthFilter,
    NoStep,
    Reader,
    StockFilter,
    SuccessFilter,
    Unfreezable,
    Video,
    Writer,
)

pytestmark = pytest.mark.usefixtures("sample_registry")
SAMPLES = sample_blocks.__name__


class Speed(Enum):
    SLOW = "slow"


def test_the_model_of_a_constructor_has_its_types_defaults_and_help() -> None:
    fields = arguments_model(Reader).model_fields
    assert list(fields) == ["files", "layout", "columns", "fps"]
    assert fields["files"].is_required()
    assert fields["layout"].default == "isaaclab"
    assert fields["files"].description == "Files or glob patterns, relative to the current folder."
    assert fields["layout"].description == "How they are laid out."
    assert arguments_model(SuccessFilter).model_fields == {}


def test_build_gives_the_constructor_its_own_types() -> None:
    use = f"{SAMPLES}:Everything"
    columns = {"action": "actions", "state": {"from": ["a", "b"], "slice": [0, 7], "scale": 2}}
    block = build(
        BlockSpec(
            use, {"order": ["a", "b"], "crop": [1, 2], "ratio": 2, "place": "x/y", "speed": 3, "columns": columns}
        )
    )
    assert type(block) is Everything
    assert block.order == ("a", "b")
    assert block.crop == (1, 2)
    assert block.ratio == 2.0
    assert type(block.ratio) is float
    assert block.place == Path("x/y")
    assert block.speed == 3
    assert block.columns["action"] == Column.model_validate("actions")
    assert block.columns["state"].source == ["a", "b"]
    assert block.columns["state"].slice == (0, 7)
    writer = build(BlockSpec("shard_writer", {"robot_type": "x", "video": {"crf": 18}}))
    assert writer.video == Video("libsvtav1", 18)


def test_build_refuses_what_the_block_does_not_take() -> None:
    with pytest.raises(ConfigError) as caught:
        build(BlockSpec("length_filter", {"min_length": "3", "lenght": 1}))
    assert {problem.message for problem in caught.value.problems} == {
        "min_length: found the text '3', expected a whole number",
        "lenght: no such argument (did you mean 'min_length'?); arguments: min_length, max_length",
    }
    with pytest.raises(ConfigError, match="takes 4 documents at a time"):
        build(BlockSpec(f"{SAMPLES}:StockFilter", {"batch_size": 4}))


def test_arguments_are_read_back_as_plain_values() -> None:
    block = Everything(
        flag=np.bool_(True),
        ratio=np.float32(0.25),
        order=("a", "b"),
        crop=(np.int64(1), 2),
        speed=Speed.SLOW,
        place=Path("x") / "y",
        gains={"a": 1.5},
        columns={"a": Column.model_validate({"from": "b", "slice": (0, 1)})},
    )
    found = arguments_of(block)
    assert found == {
        "flag": True,
        "ratio": 0.25,
        "order": ["a", "b"],
        "crop": [1, 2],
        "speed": "slow",
        "place": "x/y",
        "gains": {"a": 1.5},
        "columns": {"a": {"from": "b", "slice": [0, 1], "scale": 1.0}},
    }
    assert [type(value) for value in (found["flag"], found["ratio"], found["crop"][0])] == [bool, float, int]
    assert arguments_of(build(BlockSpec(f"{SAMPLES}:Everything", found))) == found
    assert arguments_of(Writer(robot_type="x", video=Video(crf=1)))["video"] == {"codec": "libsvtav1", "crf": 1}


def test_what_yaml_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        arguments_of(Unfreezable(key=lambda value: value, table=[1]))
    assert [problem.message for problem in caught.value.problems] == [
        "names: the block has no attribute of this name; keep each constructor argument unchanged in one",
        "key: found a lambda, which YAML cannot hold; give plain values",
        "table: found a numpy array (array.tolist() makes it a list), which YAML cannot hold; give plain values",
    ]
    assert f"{SAMPLES}:Unfreezable" in str(caught.value)
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match=r"gains: found a _io\.TextIOWrapper"):
        arguments_of(Everything(gains={"a": file}))  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="gains: found the function arguments_of, which YAML cannot hold"):
        arguments_of(Everything(gains={"a": arguments_of}))  # type: ignore[dict-item]


def test_names_of_blocks() -> None:
    assert use_of(LengthFilter()) == "length_filter"
    assert use_of(Everything()) == f"{SAMPLES}:Everything"
    assert use_of(StockFilter()) == f"{SAMPLES}:StockFilter"


def test_classes_that_workers_cannot_import_are_refused() -> None:
    class Local(EpisodeFilter):
        def reject(self, ep: Any) -> str | None:
            return None

    with pytest.raises(UsageError, match=r"Local cannot be imported by name; put it at the top level of a module"):
        use_of(Local())
    Local.__module__, Local.__qualname__ = "__main__", "Local"
    with pytest.raises(UsageError, match="the class Local is in __main__; put it in a module"):
        use_of(Local())
    Local.__module__, Local.__qualname__ = SAMPLES, "LengthFilter"
    with pytest.raises(UsageError, match="cannot be imported by name"):
        use_of(Local())


def test_a_pipeline_from_python_equals_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "source: {files: [a], columns: {action: x}}\n"
        "steps: [success_filter, {use: length_filter, min_length: 20}]\n"
        "writer: {robot_type: x, video: {crf: 18}}\nworkers: 2\n"
    )
    spec = pipeline_of(
        Reader(files=["a"], columns={"action": Column.model_validate("x")}),
        [SuccessFilter(), LengthFilter(min_length=20)],
        Writer(robot_type="x", video=Video(crf=18)),
        workers=2,
    ).spec
    assert spec == load_pipeline(path).spec
    assert spec.to_yaml() == load_pipeline(path).spec.to_yaml()


def module_level(ep: Any) -> bool:
    return True


def make_lambda() -> Callable[[Any], bool]:
    return lambda ep: True


def test_what_cannot_be_frozen_in_python_is_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        pipeline_of(
            Reader(files=["a"]),
            [module_level, make_lambda(), LengthFilter, Unfreezable(key=abs, names=[]), "length_filter"],
            Writer(robot_type="x"),
        )
    messages = [problem.message for problem in caught.value.problems]
    remedy = "which cannot be frozen; make it a class derived from EpisodeFilter, in a module"
    assert messages[:4] == [
        f"steps[0]: module_level is a function, {remedy}",
        f"steps[1]: make_lambda.<locals>.<lambda> is a function, {remedy}",
        "steps[2]: LengthFilter is a class; give a block of it: LengthFilter(…)",
        f"steps[3] ({SAMPLES}:Unfreezable): names: the block has no attribute of this name; "
        "keep each constructor argument unchanged in one",
    ]
    assert messages[4].startswith(f"steps[3] ({SAMPLES}:Unfreezable): key: found the function abs, which YAML")
    assert messages[-1] == f"steps[4]: 'length_filter' is a str, {remedy}"


def test_python_objects_are_checked_like_a_file() -> None:
    with pytest.raises(ConfigError) as caught:
        pipeline_of(
            LengthFilter(),
            [NoStep(), LengthFilter(min_length="20"), StockFilter(batch_size=3)],  # type: ignore[arg-type]
            Writer(robot_type="x"),
            workers=0,
            on_error="ignore",
        )
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "on_error: found the text 'ignore', expected one of 'reject', 'stop'",
        "workers: found the number 0, expected at least 1",
        "source (length_filter): is a step and cannot be used as the source of a pipeline",
        f"steps[0] ({SAMPLES}:NoStep): cannot be used as the step of a pipeline, "
        "that is a class derived from EpisodeFilter or EpisodeMap",
        "steps[1].min_length (length_filter): found the text '20', expected a whole number",
        f"steps[2].batch_size ({SAMPLES}:StockFilter): takes 3 documents at a time, but an episode is valid only "
        "while it is the current one; expected batch_size 1",
    ]
