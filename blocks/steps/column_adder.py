"""column_adder: constant columns that no recording has and readers of older datasets expect."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from ...core.columns import ConstantColumn
from ...core.episode import Episode
from ...core.features import Feature
from ..episode_step import EpisodeMap, new_column


class Constant(BaseModel):
    """The value of a column.

    Attributes:
        value: Value in every frame.
        last: Value in the last frame, if it differs.
        dtype: Stored dtype.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: bool | int | float
    last: bool | int | float | None = None
    dtype: Literal["bool", "int64", "float32", "float64"] = "float32"

    @model_validator(mode="after")
    def _fits(self) -> Constant:
        for value in (self.value, self.last):
            if value is not None and not _holds(self.dtype, value):
                raise ValueError(f"{value!r} is not a {self.dtype}")
        return self


def _holds(dtype: str, value: bool | int | float) -> bool:
    if dtype == "bool":
        return isinstance(value, bool)
    if dtype == "int64":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return abs(value) <= float(np.finfo(dtype).max)  # false for NaN too


class ColumnAdder(EpisodeMap):
    """Adds columns with one value in every frame, and optionally another in the last.

    Args:
        columns: Name of each column to its value, such as {next.done: {value: false, last: true, dtype: bool}}.
    """

    name = "column_adder"
    keeps_vectors = True

    def __init__(self, *, columns: dict[str, Constant]) -> None:
        super().__init__()
        self.columns = columns

    def apply(self, ep: Episode) -> Episode:
        """Add the columns.

        Raises:
            EpisodeRejected: `duplicate_column` if there is one already.
        """
        for key, constant in self.columns.items():
            column = ConstantColumn(Feature(constant.dtype, (1,)), ep.length, constant.value, constant.last)
            ep = new_column(ep, key, column)
        return ep
