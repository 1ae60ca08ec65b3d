from __future__ import annotations

import json
from typing import Any

import pytest

from robotrove.core.registry import Registry
from robotrove.pipelines.spec.json_schema import json_schema
from robotrove.pipelines.spec.validation import KEYS


@pytest.fixture
def schema(sample_registry: Registry) -> dict[str, Any]:
    return json_schema()


def test_the_keys_of_a_file_are_those_that_are_checked(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert tuple(schema["properties"]) == KEYS
    assert schema["additionalProperties"] is False
    assert schema["properties"]["on_error"]["enum"] == ["reject", "stop"]


def test_arguments_have_types_defaults_and_help(schema: dict[str, Any]) -> None:
    arguments = schema["$defs"]["hdf5_reader arguments"]
    assert arguments["required"] == ["files"]
    assert arguments["additionalProperties"] is False
    assert arguments["properties"]["files"]["items"] == {"type": "string"}
    assert arguments["properties"]["files"]["description"] == "Files or glob patterns, relative to the current folder."
    assert arguments["properties"]["layout"]["enum"] == ["isaaclab", "robomimic"]
    assert arguments["properties"]["layout"]["default"] == "isaaclab"
    length = schema["$defs"]["length_filter arguments"]["properties"]["min_length"]
    assert (length["type"], length["minimum"], length["default"]) == ("integer", 1, 1)


def test_blocks_stand_only_where_they_may(schema: dict[str, Any]) -> None:
    def uses(forms: list[dict[str, Any]]) -> list[str]:
        return [
            form["properties"]["use"]["const"] for form in forms if "const" in form.get("properties", {}).get("use", {})
        ]

    steps = schema["properties"]["steps"]["items"]["anyOf"]
    assert uses(steps) == ["success_filter", "length_filter"]
    assert {"enum": ["success_filter", "length_filter"]} in steps
    assert list(steps[-1]["properties"]) == ["success_filter", "length_filter"]
    assert uses(schema["properties"]["source"]["anyOf"]) == ["hdf5_reader"]
    assert uses(schema["properties"]["writer"]["anyOf"]) == ["shard_writer"]


def test_an_executor_has_its_arguments_and_what_its_profile_says(schema: dict[str, Any]) -> None:
    slurm = schema["$defs"]["slurm arguments"]
    assert slurm["properties"]["time"]["default"] == 240
    assert slurm["properties"]["time"]["minimum"] == 1
    assert slurm["properties"]["mem"]["pattern"].startswith("^")
    assert "few_jobs, preemptible, small" in slurm["properties"]["profile"]["description"]
    assert [name for name, entry in slurm["properties"].items() if not entry.get("description")] == []
    assert schema["$defs"]["local arguments"]["properties"] == {}


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    references = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert references == references & set(schema["$defs"])
    assert {"Video", "Column"} <= references


GOOD = [
    {"source": {"files": ["a"]}, "writer": {"robot_type": "x"}},
    {
        "source": {"use": "hdf5_reader", "files": ["a"], "columns": {"a": {"from": "x", "slice": [0, 7]}}},
        "steps": [
            "success_filter",
            {"use": "length_filter", "min_length": 3},
            {"length_filter": {"max_length": 9}},
            {"length_filter": None},
            {"my_lab.blocks:Deburr": {"depth": 3}},
            {"use": "my_lab.blocks:Deburr", "depth": 3},
            "my_lab.blocks:Deburr",
        ],
        "writer": {"use": "shard_writer", "robot_type": "x", "video": {"crf": 18}},
        "formats": ["v3.0"],
        "workers": 4,
        "output": None,
    },
    *(
        {"source": {"files": ["a"]}, "executor": executor}
        for executor in (
            "local",
            "slurm",
            {"use": "local"},
            {"use": "slurm", "partition": "gpu", "time": 60, "sbatch": {"exclude": "n1", "exclusive": True}},
            {"slurm": {"mem": "8GB", "setup": ["module load ffmpeg"]}},
            {"slurm": None},
            {"profile": "small"},
            {"profile": "mine.yaml", "cpus": 4, "account": None},
        )
    ),
]
BAD = [
    {"writer": {"robot_type": "x"}},
    {"source": {"file": ["a"]}},
    {"source": {"files": "a"}},
    {"source": {"files": ["a"]}, "steps": ["hdf5_reader"]},
    {"source": {"files": ["a"]}, "steps": [{"length_filter": {"min_length": "3"}}]},
    {"source": {"files": ["a"]}, "steps": [{"use": "length_filter", "min_lenght": 3}]},
    {"source": {"files": ["a"]}, "steps": [{"length_filter": None, "min_length": 3}]},
    {"source": {"files": ["a"]}, "formats": ["v2.2"]},
    {"source": {"files": ["a"]}, "workers": 0},
    {"source": {"files": ["a"]}, "step": []},
    *(
        {"source": {"files": ["a"]}, "executor": executor}
        for executor in (
            "slrum",
            3,
            {"use": "slrum"},
            {"use": "local", "mem": "8GB"},
            {"use": "slurm", "workers": 4},
            {"use": "slurm", "time": "4 hours"},
            {"slurm": {"mem": "8 potatoes"}},
            {"slurm": {}, "mem": "8GB"},
            {"partitoin": "gpu"},
            {"local": {"profile": "small"}},
        )
    ),
]


@pytest.mark.parametrize("document", GOOD)
def test_good_documents_are_valid(schema: dict[str, Any], document: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("document", BAD)
def test_bad_documents_are_invalid(schema: dict[str, Any], document: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    assert not jsonschema.Draft202012Validator(schema).is_valid(document)
