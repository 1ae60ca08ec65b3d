"""Pipelines that say which versions to make, and pipelines without a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from robotrove.core.errors import ConfigError
from robotrove.pipelines.spec.arguments import BlockSpec
from robotrove.pipelines.spec.json_schema import json_schema
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline, pipeline_of, spec_digest
from robotrove.tests.support.blocks import sample_blocks

pytestmark = pytest.mark.usefixtures("sample_registry")
Mistakes = Callable[..., list[tuple[int, str]]]

SOURCE = "source: {files: [a]}\nwriter: {robot_type: x}\n"
JOIN = BlockSpec("aggregator", {"datasets": None})
CUT = BlockSpec("downgrader", {"datasets": None})
MEASURE = BlockSpec("dataset_stats", {})


def load(tmp_path: Path, text: str, *overrides: str) -> PipelineSpec:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    return load_pipeline(path, overrides).spec


class TestFormats:
    @pytest.mark.parametrize(
        ("line", "formats", "dataset"),
        [
            ("", ("v3.0",), (JOIN, MEASURE)),
            ("formats: [v3.0]", ("v3.0",), (JOIN, MEASURE)),
            ("formats: [v2.1]", ("v2.1",), (CUT,)),
            ("formats: [v3.0, v2.1]", ("v3.0", "v2.1"), (JOIN, MEASURE, CUT)),
            ("formats: [v2.1, v3.0]", ("v3.0", "v2.1"), (JOIN, MEASURE, CUT)),
            ("dataset: [downgrader]", ("v2.1",), (CUT,)),
            ("dataset: [downgrader, aggregator]", ("v3.0", "v2.1"), (CUT, JOIN)),
            ("dataset: [downgrader]\nformats: [v2.1]", ("v2.1",), (CUT,)),
            ("formats: null", ("v3.0",), (JOIN, MEASURE)),
        ],
    )
    def test_formats_and_blocks_follow_from_each_other(
        self, tmp_path: Path, line: str, formats: tuple[str, ...], dataset: tuple[BlockSpec, ...]
    ) -> None:
        spec = load(tmp_path, f"{SOURCE}{line}\n")
        assert (spec.formats, spec.dataset) == (formats, dataset)
        assert PipelineSpec.from_yaml(spec.to_yaml()) == spec

    def test_the_command_line_chooses_the_blocks_too(self, tmp_path: Path) -> None:
        spec = load(tmp_path, SOURCE, "formats=[v2.1]")
        assert (spec.formats, spec.dataset) == (("v2.1",), (CUT,))
        assert load(tmp_path, f"{SOURCE}formats: [v2.1]\n", "formats[0]=v3.0").dataset == (JOIN, MEASURE)

    def test_python_says_the_same(self) -> None:
        reader, writer = sample_blocks.Reader(files=["a"]), sample_blocks.Writer(robot_type="x")
        assert pipeline_of(reader, [], writer, formats=["v2.1"]).spec.dataset == (CUT,)
        assert pipeline_of(reader, [], writer, [sample_blocks.Cutter()]).spec.formats == ("v2.1",)

    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            (
                "dataset: [aggregator]\nformats: [v2.1]\n",
                4,
                "formats: found v2.1, but the blocks of `dataset` make v3.0; remove it",
            ),
            (
                "formats: [v3.0]\ndataset:\n  - aggregator\n  - downgrader\n",
                3,
                "formats: found v3.0, but the blocks of `dataset` make v3.0, v2.1; remove it",
            ),
            ("dataset: [dataset_stats]\n", 3, "dataset: none of its blocks makes a dataset; expected aggregator"),
            (
                "dataset:\n  - aggregator\n  - aggregator\n",
                5,
                "dataset[1] (aggregator): makes v3.0, and so does dataset[0]",
            ),
            ("formats: []\n", 3, "formats: found a list of 0, expected at least"),
            ("formats: v2.1\n", 3, "formats: found the text 'v2.1', expected a list"),
        ],
    )
    def test_mistakes_have_their_line(self, mistakes_in: Mistakes, text: str, line: int, message: str) -> None:
        [(found_line, found)] = mistakes_in(SOURCE + text)
        assert found_line == line
        assert found.startswith(message)


class TestWithoutSource:
    def test_only_dataset_blocks_are_there(self, tmp_path: Path) -> None:
        spec = load(
            tmp_path, "dataset:\n  - aggregator: {datasets: [one, ../two]}\n  - dataset_stats\noutput: merged\n"
        )
        assert (spec.source, spec.steps, spec.writer) == (None, (), None)
        assert spec.dataset == (BlockSpec("aggregator", {"datasets": ["one", "../two"]}), MEASURE)
        assert (spec.datasets, spec.formats) == (("one", "../two"), ("v3.0",))
        assert list(yaml.safe_load(spec.to_yaml())) == [
            "dataset", "formats", "on_error", "output", "workers", "executor", "code",
        ]  # fmt: skip
        assert PipelineSpec.from_yaml(spec.to_yaml()) == spec

    def test_python_says_the_same(self, tmp_path: Path) -> None:
        made = pipeline_of(None, [], None, [sample_blocks.Cutter(datasets=["big"])]).spec
        assert made == load(tmp_path, "dataset:\n  - downgrader: {datasets: [big]}\n")
        assert made.formats == ("v2.1",)

    def test_the_digest_holds_the_datasets(self, tmp_path: Path) -> None:
        one, two = (load(tmp_path, f"dataset:\n  - downgrader: {{datasets: [{name}]}}\n") for name in ("a", "b"))
        assert spec_digest(one, "1") != spec_digest(two, "1")
        assert two.differences(one) == ['dataset[0].datasets[0]: "b" was "a"']

    def test_other_datasets_can_be_given_on_the_command_line(self, tmp_path: Path) -> None:
        text = "dataset:\n  - downgrader: {datasets: [a]}\n"
        assert load(tmp_path, text, "dataset[0].datasets=[b, c]").datasets == ("b", "c")

    @pytest.mark.parametrize("second", ["downgrader", "downgrader: {datasets: [a]}"])
    def test_a_second_block_takes_the_same(self, tmp_path: Path, second: str) -> None:
        spec = load(tmp_path, f"dataset:\n  - aggregator: {{datasets: [a]}}\n  - {second}\n")
        assert (spec.formats, spec.datasets) == (("v3.0", "v2.1"), ("a",))

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (
                f"{SOURCE}dataset:\n  - aggregator:\n      datasets: [a]\n",
                [
                    (
                        5,
                        "dataset[0].datasets (aggregator): stands beside a `source`; episodes come from one",
                    )
                ],
            ),
            (
                "writer: {robot_type: x}\nsteps: [success_filter]\ndataset:\n  - aggregator: {datasets: [a]}\n",
                [
                    (1, "writer (shard_writer): needs a `source`: episodes of datasets stay"),
                    (2, "steps: needs a `source`: episodes of datasets stay unchanged"),
                ],
            ),
            (
                "dataset:\n  - dataset_stats\n  - aggregator\n",
                [
                    (1, "source: missing, expected a mapping such as"),
                    (2, "dataset[0] (dataset_stats): works on the dataset of v3.0, which no block before it makes"),
                ],
            ),
            (
                f"{SOURCE}dataset:\n  - downgrader\n  - dataset_stats\n  - aggregator\n",
                [(5, "dataset[1] (dataset_stats): works on the dataset of v3.0, which no block before it makes; put")],
            ),
            (
                "dataset:\n  - aggregator\n  - downgrader: {datasets: [a]}\n",
                [
                    (
                        1,
                        "source: missing, expected a mapping such as {files: [data/*.hdf5], layout: isaaclab}; or",
                    )
                ],
            ),
            (
                "dataset:\n  - aggregator: {datasets: []}\n",
                [(2, "dataset[0].datasets (aggregator): found a list of 0, expected at least one folder")],
            ),
            (
                "dataset:\n  - aggregator: {datasets: [a]}\n  - downgrader: {datasets: [b]}\n",
                [(3, "dataset[1].datasets (downgrader): found others than dataset[0].datasets; a run takes all")],
            ),
            (
                "dataset:\n  - aggregator: {datasets: a}\n",
                [(2, "dataset[0].datasets (aggregator): found the text 'a'")],
            ),
        ],
    )
    def test_mistakes_have_their_line(self, mistakes_in: Mistakes, text: str, found: list[tuple[int, str]]) -> None:
        mistakes = mistakes_in(text)
        assert [line for line, _ in mistakes] == [line for line, _ in found]
        for (_, message), (_, expected) in zip(mistakes, found, strict=True):
            assert message.startswith(expected)

    def test_steps_and_writer_in_python_are_mistakes_too(self) -> None:
        blocks = [sample_blocks.Joiner(datasets=["a"])]
        with pytest.raises(ConfigError, match="steps: needs"):
            pipeline_of(None, [sample_blocks.SuccessFilter()], None, blocks)
        with pytest.raises(ConfigError, match=r"writer .*: needs"):
            pipeline_of(None, [], sample_blocks.Writer(robot_type="x"), blocks)
        with pytest.raises(ConfigError, match="source: missing"):
            pipeline_of(None, [], None)


@pytest.mark.parametrize(
    ("document", "is_valid"),
    [
        ({"dataset": [{"aggregator": {"datasets": ["a"]}}, "dataset_stats"]}, True),
        ({"dataset": [{"use": "downgrader", "datasets": ["a"]}], "formats": ["v2.1"]}, True),
        ({"source": {"files": ["a"]}, "formats": ["v3.0", "v2.1"]}, True),
        ({"dataset": [{"aggregator": {"datasets": "a"}}]}, False),
        ({"dataset": [{"aggregator": {"datasets": ["a"]}}], "steps": []}, False),
        ({"dataset": [{"aggregator": {"datasets": ["a"]}}], "writer": {"robot_type": "x"}}, False),
        ({"formats": ["v3.0"]}, False),
    ],
)
def test_the_schema_knows_both_kinds(document: dict[str, Any], is_valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(document) == is_valid
