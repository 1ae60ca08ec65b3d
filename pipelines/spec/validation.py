"""Validation of a pipeline: every error of a file at once, with its line and the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...blocks.dataset_step import DatasetStep
from ...core.errors import ConfigError, Problem, UsageError, nearest
from ...core.source_file import PathText
from ...core.validation_messages import described, mistakes
from ...core.yaml_source import KeyPath, Located, keys_of, locate, show_path
from .arguments import BlockSpec, InvalidArguments, arguments_model, checked_arguments, construct, frozen
from .block_lookup import Role, block_class, check_role, one_line
from .executor_spec import DEFAULT_EXECUTOR, PROFILE, checked_executor, executor_form
from .places import Places

# The Hub's tokens begin like this; nothing else that a pipeline says does.
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}")
_NAMES = re.compile(r"(?:^|_)(?:token|secret|password|api_key|credentials?)$", re.IGNORECASE)
_EXPECTED = "the token of HF_TOKEN in the environment, or of `hf auth login`, and none in a file"

Version: TypeAlias = Literal["v3.0", "v2.1"]
VERSIONS: tuple[str, ...] = get_args(Version)  # in the order that frozen pipelines have them in
Found: TypeAlias = tuple[KeyPath, str]
DEFAULT_SOURCE = "hdf5_reader"
DEFAULT_WRITER = "shard_writer"


def secret_mistakes(node: Located, path: KeyPath = ()) -> Iterator[tuple[int, str]]:
    """Yield line and text of each key that is there for a secret, and each text that holds a token; never the text."""
    if path and isinstance(path[-1], str) and _NAMES.search(path[-1]):
        yield node.line, f"{show_path(path)}: is a place for a secret; expected {_EXPECTED}"
    elif isinstance(node.value, str) and _TOKEN.search(node.value):
        yield node.line, f"{show_path(path)}: holds a token of the Hub; expected {_EXPECTED}; revoke this one"
    for key in keys_of(node.value):
        yield from secret_mistakes(node.value[key], (*path, key))


def default_dataset(formats: object) -> list[str]:
    """Return the blocks that make the datasets of some LeRobot versions; those of v3.0 if it is unclear which."""
    versions = formats if isinstance(formats, list | tuple) else ()
    is_v21 = "v2.1" in versions
    v30 = ["aggregator", "dataset_stats"] if "v3.0" in versions or not is_v21 else []
    return [*v30, *(["downgrader"] if is_v21 else [])]


def in_order(versions: Collection[str]) -> tuple[str, ...]:
    """Return LeRobot versions in the order of VERSIONS."""
    return tuple(version for version in VERSIONS if version in versions)


def format_mistakes(formats: Sequence[str] | None, makes: Mapping[KeyPath, str]) -> Iterator[Found]:
    """Yield where the versions that a pipeline is to make are not those that its blocks make.

    Args:
        formats: What the pipeline says, None if it does not.
        makes: Path of a dataset block to the version that it makes.
    """
    first: dict[str, KeyPath] = {}
    for path, version in makes.items():
        if version in first:
            yield path, f"makes {version}, and so does {show_path(first[version])}"
        first.setdefault(version, path)
    if not makes:
        yield ("dataset",), "none of its blocks makes a dataset; expected aggregator, downgrader, or both"
    elif formats is not None and sorted(formats) != sorted(first):
        made = ", ".join(in_order(first))
        yield ("formats",), f"found {', '.join(formats)}, but the blocks of `dataset` make {made}; remove it"


def place_mistakes(makes: Mapping[KeyPath, str], needs: Mapping[KeyPath, str]) -> Iterator[Found]:
    """Yield which dataset blocks stand before the dataset that they work on is made; none if none is made at all.

    Args:
        makes: Path of a dataset block to the version that it makes.
        needs: Path of a dataset block to the version that it works on.
    """
    for path, version in needs.items():
        if makes and version not in {made for maker, made in makes.items() if maker < path}:
            maker = default_dataset([version])[0]
            yield path, f"works on the dataset of {version}, which no block before it makes; put it after {maker}"


def origin_mistakes(
    keys: Collection[str], blocks: Mapping[KeyPath, BlockSpec], makes: Mapping[KeyPath, str]
) -> Iterator[Found]:
    """Yield what is wrong about where episodes come from: a source, or the datasets of the first block.

    Args:
        keys: Keys of the pipeline.
        blocks: Its blocks by path.
        makes: Path of a dataset block to the version that it makes.
    """
    given = {path: block.arguments["datasets"] for path, block in blocks.items() if _takes_datasets(path, block)}
    first = next(iter(makes), None)
    if "source" in keys:
        for path in given:
            yield (*path, "datasets"), "stands beside a `source`; episodes come from one or the other, leave one out"
    elif first is None or first not in given:
        knows = first is not None and "datasets" in blocks[first].arguments
        other = f"; or, to take episodes from datasets, {show_path(first)}.datasets" if knows and first else ""
        yield ("source",), f"missing, expected a mapping such as {{files: [data/*.hdf5], layout: isaaclab}}{other}"
    else:
        for key in filter(keys.__contains__, ("steps", "writer")):
            yield (key,), "needs a `source`: episodes of datasets stay unchanged; remove it"
        for path, datasets in given.items():
            if not datasets:
                yield (*path, "datasets"), "found a list of 0, expected at least one folder"
            elif datasets != given[first]:
                where = show_path((*first, "datasets"))
                yield (*path, "datasets"), f"found others than {where}; a run takes all episodes from the same"
            elif blocks[path].arguments.get("edit") != blocks[first].arguments.get("edit"):
                where = show_path((*first, "edit"))
                yield (*path, "edit"), f"found other changes than {where}; a run makes the same changes in all versions"


def append_mistakes(
    append_to: str | None, keys: Collection[str], formats: Sequence[str], blocks: Mapping[KeyPath, BlockSpec]
) -> Iterator[Found]:
    """Yield what is wrong about the dataset that episodes are to be added to.

    Args:
        append_to: The dataset, if any.
        keys: Keys of the pipeline.
        formats: LeRobot versions that it makes.
        blocks: Its blocks by path.
    """
    if append_to is None:
        for path, block in blocks.items():
            if "source" in keys and path[0] == "dataset" and block.arguments.get("annotations"):
                told = "decides about columns of datasets, and recordings have none: remove it"
                yield (*path, "annotations"), f"{told}, or give `append_to` or `datasets`"
        return
    if "source" not in keys:
        yield ("append_to",), "needs a `source`; `robotrove aggregate` merges datasets"
    if len(formats) > 1:
        yield ("append_to",), f"is one dataset, of one version, but {', '.join(formats)} are made; choose one"


def _takes_datasets(path: KeyPath, block: BlockSpec) -> bool:
    return path[0] == "dataset" and block.arguments.get("datasets") is not None


class Settings(BaseModel):
    """Values of a pipeline file other than its blocks."""

    model_config = ConfigDict(extra="forbid")

    formats: Annotated[list[Version], Field(min_length=1)] | None = Field(
        default=None,
        description="LeRobot versions of the output, several each in its own folder; by default those that the blocks "
        "of `dataset` make.",
    )
    append_to: PathText | None = Field(
        default=None,
        description="Base dataset to append new episodes to: a folder or hf://datasets/OWNER/NAME; the output contains "
        "its data and video files unchanged.",
    )
    on_error: Literal["reject", "stop"] = Field(
        default="reject", description="Effect of a damaged episode: reject it with a reason, or stop the run."
    )
    output: PathText | None = Field(default=None, description="Folder of the finished dataset.")
    workers: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Parallel processes or jobs; one per CPU by default."
    )
    code: list[PathText] = Field(
        default=[],
        description="Folders with modules of outside blocks, in addition to that of this file and the current one.",
    )


KEYS = (
    *("source", "steps", "writer", "dataset", "publish"),
    *("append_to", "formats", "on_error", "output", "workers", "executor", "code"),
)


class PipelineCheck:
    """Collects the mistakes of one pipeline and, as far as it is right, what it says.

    Args:
        root: The pipeline, its blocks in the full form (see `full_form`).
        folders: Where outside code is looked for besides what is installed.
        places: What its paths are relative to.

    Attributes:
        problems: The mistakes.
        settings: Everything but the blocks; defaults where that is wrong.
        formats: LeRobot versions of the output, always in the same order.
        blocks: Checked blocks by path: ("source",), ("steps", 0), …, ("writer",), ("dataset", 0), ….
        built: The blocks themselves, by path: the constructor of a block is the last of its checks.
        executor: Where ranks run, its profile resolved.
    """

    def __init__(self, root: Located, folders: Sequence[Path], places: Places) -> None:
        self.problems: list[Problem] = []
        self.settings = Settings()
        self.formats: tuple[str, ...] = ()
        self.blocks: dict[KeyPath, BlockSpec] = {}
        self.built: dict[KeyPath, Any] = {}
        self.executor = BlockSpec(DEFAULT_EXECUTOR)
        self._root = root
        self._folders = list(folders)
        self._places = places
        self._makes: dict[KeyPath, str] = {}
        self._needs: dict[KeyPath, str] = {}
        # Nothing else is said of such a file: other messages show what they found.
        self.problems += [Problem(line, text) for line, text in secret_mistakes(root)]
        if self.problems:
            return
        if not isinstance(root.value, dict):
            text = f"found {described(root.plain())}, expected a mapping with keys among {', '.join(KEYS)}"
            self.problems.append(Problem(root.line, text))
            return
        self._check_keys()
        self._check_settings()
        self._check_blocks()
        if "executor" in root.value:
            self._check_executor(root.value["executor"])

    def _check_keys(self) -> None:
        for key in self._root.value:
            if key not in KEYS:
                self._note((key,), f"no such key{nearest(key, KEYS)}; keys: {', '.join(KEYS)}")

    def _check_settings(self) -> None:
        nodes = {key: node for key, node in self._root.value.items() if key in Settings.model_fields}
        data: dict[str, Any] = {}
        try:
            data = self._places.values(Settings, nodes)
            self.settings = Settings.model_validate(data, strict=True)
        except InvalidArguments as exc:
            for path, text, _ in exc.found:
                self._note(path, text)
        except ValidationError as exc:
            for path, text, _ in mistakes(Settings, exc, data):
                self._note(path, text)
        self._folders += map(Path, self.settings.code)

    def _check_blocks(self) -> None:
        if "source" in self._root.value:
            self._check_block(("source",), "source")
        self._check_list("steps", "step")
        if "writer" in self._root.value:
            self._check_block(("writer",), "writer")
        before = len(self.problems)
        self._check_list("dataset", "dataset")
        if len(self.problems) == before:
            self._check_datasets()
        self._check_list("publish", "publish")

    def _check_datasets(self) -> None:
        self.formats = in_order(self._makes.values())
        found = [
            *format_mistakes(self.settings.formats, self._makes),
            *place_mistakes(self._makes, self._needs),
            *origin_mistakes(self._root.value, self.blocks, self._makes),
            *append_mistakes(self.settings.append_to, self._root.value, self.formats, self.blocks),
        ]
        for path, text in found:
            self._note(path, text, self.blocks[path[:2]].use if path[:2] in self.blocks else "")

    def _check_list(self, key: str, role: Role) -> None:
        blocks = self._root.at((key,)) if key in self._root.value else Located([])
        if isinstance(blocks.value, list):
            for index in range(len(blocks.value)):
                self._check_block((key, index), role)
        elif blocks.value is not None:
            self._note((key,), f"found {described(blocks.plain())}, expected a list of blocks")

    def _check_block(self, path: KeyPath, role: Role) -> None:
        node = self._root.at(path)
        if not isinstance(node.value, dict):
            self._note(
                path, f"found {described(node.plain())}, expected a block: a name, {{use: name, …}} or name: {{…}}"
            )
            return
        if "use" not in node.value:
            self._note(path, _without_use(node))
            return
        use = node.value["use"].value
        if not isinstance(use, str):
            self._note((*path, "use"), f"found {described(node.value['use'].plain())}, expected the name of a block")
            return
        try:
            cls = block_class(use, self._folders)
            check_role(cls, role)
            model = arguments_model(cls)
        except UsageError as exc:
            self._note(path, one_line(exc), use, node.value["use"])
            return
        arguments = {key: inner for key, inner in node.value.items() if key != "use"}
        try:
            values = checked_arguments(cls, self._places.values(model, arguments, path))
            self.blocks[path] = BlockSpec(use, frozen(values))
            self.built[path] = block = construct(cls, values)
            if (version := getattr(block, "makes", None)) is not None:
                self._makes[path] = version
            if isinstance(block, DatasetStep) and block.needs is not None:
                self._needs[path] = block.needs
        except InvalidArguments as exc:
            for inner, text, _ in exc.found:
                self._note((*path, *inner), text.removeprefix(f"{use}: "), use)

    def _check_executor(self, node: Located) -> None:
        try:
            self.executor = checked_executor(node, self._places)
            found = secret_mistakes(locate(dict(self.executor.arguments), node.line), ("executor",))  # of a profile
            self.problems += [Problem(line, text) for line, text in found]
        except ConfigError as exc:  # of a profile, which is another file
            self.problems.append(Problem(node.line, f"executor.{PROFILE}: {exc}"))
        except InvalidArguments as exc:
            for path, text, _ in exc.found:
                self._note(("executor", *path), text)

    def _note(self, path: KeyPath, text: str, use: str = "", node: Located | None = None) -> None:
        node = node or self._root.at(path)
        where = show_path(path) + (f" ({use})" if use else "")
        origin = f" (set by {node.given!r} on the command line)" if node.given else ""
        self.problems.append(Problem(node.line, f"{where}: {text}{origin}"))


def full_form(root: Located) -> Located:
    """Return a pipeline with its blocks written as ``{use: name, …}``; what is no block stays as it is."""
    if not isinstance(root.value, dict):
        return root
    value = dict(root.value)
    for key, default in (("source", DEFAULT_SOURCE), ("writer", DEFAULT_WRITER)):
        if key in value or (key == "writer" and "source" in value):
            value[key] = _with_use(value.get(key, Located(None, root.line)), default)
    if "executor" in value:
        value["executor"] = executor_form(value["executor"])
    if "dataset" not in value:
        names = default_dataset(value["formats"].plain() if "formats" in value else None)
        value["dataset"] = Located([Located(name, root.line) for name in names], root.line)
    for key in ("steps", "dataset", "publish"):
        if key in value and isinstance(value[key].value, list):
            value[key] = Located([_step(node) for node in value[key].value], value[key].line)
    return Located(value, root.line)


def _with_use(node: Located, default: str) -> Located:
    if isinstance(node.value, str):
        return _step(node)
    inside = {} if node.value is None else node.value
    if not isinstance(inside, dict) or "use" in inside:
        return node
    return Located({"use": Located(default, node.line), **inside}, node.line)


def _step(node: Located) -> Located:
    if isinstance(node.value, str):
        return Located({"use": Located(node.value, node.line)}, node.line)
    if isinstance(node.value, dict) and len(node.value) == 1 and "use" not in node.value:
        [(name, arguments)] = node.value.items()
        inside: Any = {} if arguments.value is None else arguments.value
        if isinstance(inside, dict) and "use" not in inside:
            return Located({"use": Located(name, arguments.line), **inside}, node.line)
    return node


def _without_use(node: Located) -> str:
    keys = list(node.value)
    if len(keys) == 1 and not isinstance(node.value[keys[0]].value, dict):
        return f"the arguments of {keys[0]!r} are {described(node.value[keys[0]].plain())}, expected a mapping"
    hint = f"; indent the arguments under {keys[0]!r}" if keys and node.value[keys[0]].value is None else ""
    keys_found = f"with the keys {', '.join(keys)}" if keys else "with no keys"
    return f"found a mapping {keys_found}, expected a name, {{use: name, …}} or name: {{…}}{hint}"
