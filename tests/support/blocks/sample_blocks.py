"""Small blocks with every kind of argument, so that these tests depend on no real block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from datatrove.pipeline.base import PipelineStep
from pydantic import BaseModel, ConfigDict, Field, model_validator

from robotrove.blocks.dataset_step import DatasetStep
from robotrove.blocks.episode_step import EpisodeFilter
from robotrove.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Video:
    codec: Literal["libsvtav1", "libx264"] = "libsvtav1"
    crf: int = 30

    def __post_init__(self) -> None:
        if self.crf > 63:
            raise UsageError("video crf", str(self.crf), "0 to 63")


class Column(BaseModel):
    """A plain path is short for {from: path}."""

    model_config = ConfigDict(extra="forbid")

    source: str | list[str] = Field(validation_alias="from", serialization_alias="from")
    slice: tuple[int, int] | None = None
    scale: float = 1.0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str) else value


class Reader(PipelineStep):
    """Reads.

    Args:
        files: Files or glob patterns, relative
            to the current folder.
        layout (str): How they are laid out.
        columns: Feature name to where it comes from.
        fps: Frames per second.
    """

    name = "hdf5_reader"
    role = "source"

    def __init__(
        self,
        *,
        files: list[str],
        layout: Literal["isaaclab", "robomimic"] = "isaaclab",
        columns: dict[str, Column] | None = None,
        fps: float | None = None,
    ) -> None:
        super().__init__()
        self.files = files
        self.layout = layout
        self.columns = columns
        self.fps = fps

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        raise NotImplementedError


class Writer(PipelineStep):
    """Writes.

    Args:
        robot_type: Name of the robot.
        video: How cameras are encoded.
    """

    name = "shard_writer"
    role = "writer"

    def __init__(self, *, robot_type: str, video: Video = Video()) -> None:
        super().__init__()
        self.robot_type = robot_type
        self.video = video

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        raise NotImplementedError


class _Keep(EpisodeFilter):
    def reject(self, ep: Any) -> str | None:
        return None


class SuccessFilter(_Keep):
    """Keeps successes."""

    name = "success_filter"


class LengthFilter(_Keep):
    """Keeps lengths.

    Args:
        min_length: Shortest kept.
        max_length: Longest kept.
    """

    name = "length_filter"

    def __init__(self, *, min_length: Annotated[int, Field(ge=1)] = 1, max_length: int | None = None) -> None:
        super().__init__()
        if max_length is not None and max_length < min_length:
            raise ValueError(f"max_length {max_length} is below min_length {min_length}")
        self.min_length = min_length
        self.max_length = max_length


class Everything(_Keep):
    """Not registered: reached by its dotted name."""

    def __init__(
        self,
        *,
        flag: bool = False,
        ratio: float = 0.5,
        order: tuple[str, ...] = (),
        crop: tuple[int, int] | None = None,
        speed: int | str = "fast",
        place: Path = Path("a/b"),
        gains: dict[str, float] | None = None,
        columns: dict[str, Column] | None = None,
    ) -> None:
        super().__init__()
        self.flag = flag
        self.ratio = ratio
        self.order = order
        self.crop = crop
        self.speed = speed
        self.place = place
        self.gains = gains
        self.columns = columns


class Unfreezable(_Keep):
    def __init__(self, *, key: Callable[[int], int], table: Any = None, names: list[str] | None = None) -> None:
        super().__init__()
        self.key = key
        self.table = np.asarray(table)
        self._names = names


class AnyArguments(_Keep):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()


class _StockBase(PipelineStep):
    """Stands for datatrove's BaseFilter, whose package cannot be imported without `regex`."""

    def __init__(self, batch_size: int = 1, seed: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013 (as datatrove has it)
        super().__init__()
        self.batch_size = batch_size
        self.seed = seed

    def filter(self, doc: Any) -> bool:
        return True

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        yield from (doc for doc in data if self.filter(doc))


_StockBase.__name__ = "BaseFilter"
_StockBase.__module__ = "datatrove.pipeline.filters.base_filter"


class StockFilter(_StockBase):
    name = "stock"


class StockFilterOfFives(_StockBase):
    name = "stock_of_fives"

    def filter(self, doc: Any) -> bool:
        return bool(doc.length != 5)


class StockFilterThatFails(_StockBase):
    name = "stock_that_fails"

    def filter(self, doc: Any) -> bool:
        return bool(1 / (doc.length - 5))


class SilentFilter(_Keep):
    """Breaks the rule of its base class: each episode is passed on."""

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        yield from (ep for ep in data if ep.length != 5)


class ReorderingFilter(_StockBase):
    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        yield from reversed(list(data))


class NoStep(PipelineStep):
    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        yield from data


class _DatasetBlock(DatasetStep):
    def plan(self) -> None:
        pass

    def units(self) -> list[Any]:
        return []

    def process(self, unit: Any) -> None:
        pass

    def finish(self) -> None:
        pass


class Joiner(_DatasetBlock):
    """Makes a dataset.

    Args:
        datasets: Where episodes come from.
    """

    name = "aggregator"
    makes = "v3.0"

    def __init__(self, *, datasets: list[str] | None = None) -> None:
        self.datasets = datasets


class Cutter(Joiner):
    """Makes another one."""

    name = "downgrader"
    makes = "v2.1"


class Measurer(_DatasetBlock):
    """Works on a dataset that is there."""

    name = "dataset_stats"
    needs = "v3.0"
