"""JSON Schema of a pipeline file, from the constructors of all registered blocks: for editors."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ...blocks import BLOCKS
from ...executors import EXECUTORS
from .arguments import arguments_model
from .block_lookup import Role, role_of
from .executor_spec import ELSEWHERE, PROFILE, shipped_profiles
from .validation import DEFAULT_SOURCE, DEFAULT_WRITER, KEYS, Settings

_REF = "#/$defs/"
_DOTTED = r"^[\w.]+:[\w.]+$"
_SUMMARIES = {
    "source": "Reader of the episodes; absent in a pipeline that starts from datasets.",
    "steps": "Filters and maps for each episode, in order.",
    "writer": "Writer of the shards.",
    "executor": "Executor of the ranks; a mapping without a name has options of Slurm.",
    "publish": "Blocks that publish the finished datasets, in order.",
    "dataset": "Blocks that make the datasets, in order, from the shards or from the `datasets` of the blocks.",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a pipeline file.

    A block may be written as a name, as ``{use: name, argument: …}`` or, in `steps`, as ``name: {…}``;
    the arguments of outside blocks (``module:Class``) are not checked by it.
    """
    classes = {name: BLOCKS[name] for name in BLOCKS}
    models = {name: arguments_model(cls) for name, cls in classes.items() if role_of(cls) is not None}
    executors = {name: arguments_model(EXECUTORS[name]) for name in EXECUTORS}
    schemas, shared = _schemas({**models, **executors, "": Settings})
    settings = schemas.pop("")
    names: dict[Role, list[str]] = {
        role: [name for name in models if role_of(classes[name]) == role] for role in get_args(Role)
    }
    properties = settings["properties"] | {
        "source": _place(names["source"], schemas, DEFAULT_SOURCE, "source"),
        "steps": _list(names["step"], schemas, "steps"),
        "writer": _place(names["writer"], schemas, DEFAULT_WRITER, "writer"),
        "dataset": _list(names["dataset"], schemas, "dataset"),
        "publish": _list(names["publish"], schemas, "publish"),
        "executor": _executor({name: schemas[name] for name in executors}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "robotrove pipeline",
        "type": "object",
        "properties": {key: properties[key] for key in KEYS},
        "anyOf": [
            {"required": ["source"]},
            {"required": ["dataset"], "properties": {"steps": False, "writer": False}},
        ],
        "additionalProperties": False,
        "$defs": {**{f"{name} arguments": schema for name, schema in schemas.items()}, **shared},
    }


def _schemas(models: dict[str, type[BaseModel]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of each model, and those of the types that they share, by name."""
    references, document = models_json_schema(
        [(model, "validation") for model in models.values()], ref_template=_REF + "{model}"
    )
    shared = document.get("$defs", {})
    own = {name: references[model, "validation"]["$ref"].removeprefix(_REF) for name, model in models.items()}
    return {name: shared.pop(key) for name, key in own.items()}, shared


def _place(names: list[str], schemas: dict[str, Any], default: str, place: str) -> dict[str, Any]:
    without_use = [{"$ref": f"{_REF}{default} arguments"}] if default in names else []
    return {"description": _SUMMARIES[place], "anyOf": [*without_use, *_block_forms(names, schemas)]}


def _list(names: list[str], schemas: dict[str, Any], place: str) -> dict[str, Any]:
    return {
        "description": _SUMMARIES[place],
        "type": ["array", "null"],
        "items": {"anyOf": [*_block_forms(names, schemas), _short_form(names, _DOTTED)]},
    }


def _executor(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `executor`; takes out of those of the executors what stands elsewhere, and puts profiles in.

    Args:
        schemas: Executor to the schema of its constructor.
    """
    for schema in schemas.values():
        schema["properties"].pop(ELSEWHERE)
    schemas["slurm"]["properties"][PROFILE] = {
        "type": "string",
        "description": f"Profile of options: {', '.join(shipped_profiles())}, or the path of a YAML file.",
    }
    forms = [{"$ref": f"{_REF}slurm arguments"}, *_named_forms([*schemas], schemas), _short_form([*schemas])]
    return {"description": _SUMMARIES["executor"], "anyOf": forms}


def _block_forms(names: list[str], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    outside = {"type": "string", "pattern": _DOTTED}
    return [
        *_named_forms(names, schemas),
        outside,
        {"type": "object", "properties": {"use": outside}, "required": ["use"]},
    ]


def _named_forms(names: list[str], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    bare = [name for name in names if not schemas[name].get("required")]
    forms: list[dict[str, Any]] = [{"enum": bare}] if bare else []
    for name in names:
        schema = schemas[name]
        properties = {"use": {"const": name}, **schema.get("properties", {})}
        forms.append({**schema, "properties": properties, "required": ["use", *schema.get("required", [])]})
    return forms


def _short_form(names: list[str], outside: str | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"anyOf": [{"$ref": f"{_REF}{name} arguments"}, {"type": "null"}]} for name in names},
        "patternProperties": {outside: {"type": ["object", "null"]}} if outside else {},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
