"""Which datasets the blocks under `dataset:` make, of which versions, and of which episodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from ..core.yaml_source import KeyPath, show_path
from .arguments import BlockSpec

Version: TypeAlias = Literal["v3.0", "v2.1"]
VERSIONS: tuple[str, ...] = get_args(Version)  # in the order that frozen pipelines have them in

Found: TypeAlias = tuple[KeyPath, str]


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
        yield ("formats",), f"found {', '.join(formats)}, but the blocks of `dataset` make {made}; leave it out"


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
            yield (key,), "stands without a `source`: the episodes of datasets are taken as they are; leave it out"
        for path, datasets in given.items():
            if not datasets:
                yield (*path, "datasets"), "found a list of 0, expected at least one folder"
            elif datasets != given[first]:
                where = show_path((*first, "datasets"))
                yield (*path, "datasets"), f"found others than {where}; a run takes all episodes from the same"


def append_mistakes(append_to: str | None, keys: Collection[str], formats: Sequence[str]) -> Iterator[Found]:
    """Yield what is wrong about the dataset that episodes are to be added to.

    Args:
        append_to: The dataset, if any.
        keys: Keys of the pipeline.
        formats: LeRobot versions that it makes.
    """
    if append_to is None:
        return
    if "source" not in keys:
        yield ("append_to",), "stands without a `source`; `robotrove aggregate` joins datasets"
    if len(formats) > 1:
        yield ("append_to",), f"is one dataset, of one version, but {', '.join(formats)} are made; choose one"


def _takes_datasets(path: KeyPath, block: BlockSpec) -> bool:
    return path[0] == "dataset" and block.arguments.get("datasets") is not None
