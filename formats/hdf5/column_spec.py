"""Column spec: source of a feature, as a pipeline file names it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Kind: TypeAlias = Literal["auto", "video", "image", "vector", "string"]
Dtype: TypeAlias = Literal["float32", "float64", "keep"]
Color: TypeAlias = Literal["rgb", "bgr"]
Flip: TypeAlias = Literal["none", "vertical", "rotate180"]
Entries: TypeAlias = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]


class _Shorthand(BaseModel):
    """A model that a plain path, or a list, may stand for."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _from(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str | list) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let editors accept the short form too."""
        full = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [dict(full["properties"]["from"]), full]}


class ColumnPart(_Shorthand):
    """One dataset of a vector that is concatenated from several.

    Attributes:
        source: Path of the dataset, relative to the episode's group (`from` in YAML).
        slice: Entries [start, stop) of its last axis; all of them by default.
    """

    source: str = Field(validation_alias="from", serialization_alias="from", min_length=1)
    slice: Entries | None = None


class ColumnSpec(_Shorthand):
    """Source of a feature. In YAML a plain path, or a list of paths, is short for `{from: …}`.

    Attributes:
        source: Path of a dataset relative to the episode's group, or several, with their vectors side by
            side (`from` in YAML).
        slice: Entries [start, stop) of the last axis; in a list each source has its own.
        dtype: None stores floats as float32, integers as int64 and booleans as they are; `float32`
            and `float64` convert all numbers; `keep` stores what the file has.
        names: A name per entry of a vector.
        kind: Kind of the feature; `auto` makes uint8 frames and encoded images a video.
        color: Order of the colours in the file.
        flip: Difference between the file's frames and upright ones.
    """

    source: str | list[ColumnPart] = Field(validation_alias="from", serialization_alias="from", min_length=1)
    slice: Entries | None = None
    dtype: Dtype | None = None
    names: list[str] | None = None
    kind: Kind = "auto"
    color: Color = "rgb"
    flip: Flip = "none"

    @property
    def parts(self) -> tuple[ColumnPart, ...]:
        """The sources in order."""
        return (
            (ColumnPart(source=self.source, slice=self.slice),) if isinstance(self.source, str) else tuple(self.source)
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.slice is not None and not isinstance(self.source, str):
            raise ValueError("with a list of sources write the slice beside each: - {from: path, slice: [0, 3]}")
        return self
