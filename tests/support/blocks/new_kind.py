"""A kind of column that robotrove does not know, a set of words per row, and a block that adds one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robotrove.blocks.episode_step import EpisodeMap
from robotrove.core.columns import Array, ArrayColumn
from robotrove.core.episode import Episode
from robotrove.core.features import Feature
from robotrove.formats.lerobot.features.feature_kind import FeatureKind, Lookups

TAGS = Feature("tags", (1,))


class Tags(FeatureKind):
    """Words as a JSON list, merged without those that are in it twice; not in v2.1."""

    not_in = ("v2.1",)

    @property
    def value_type(self) -> pa.DataType:
        """Texts."""
        return pa.string()

    def datasets_type(self, list_type: str) -> dict[str, Any]:
        """Texts."""
        return {"dtype": "string", "_type": "Value"}

    def stored(self, values: Array) -> Array:
        """Return lists as JSON."""
        return np.array([[json.dumps(tags)] for [tags] in values], object)

    def unusable(self, values: Array) -> NDArray[np.bool_]:
        """Return which values are no JSON lists."""
        return np.array([[not text.startswith("[")] for [text] in values])

    def merged(self, piece: pa.Table, field: pa.Field, lookups: Lookups, where: str) -> pa.Array:
        """Return each list sorted, and each word once."""
        texts = super().merged(piece, field, lookups, where).to_pylist()
        return pa.array([json.dumps(sorted(set(json.loads(text)))) for text in texts], field.type)


class Tagger(EpisodeMap):
    """Adds a column of tags: the number of the row as a word, twice, and another word before it."""

    name = "tagger"

    def apply(self, ep: Episode) -> Episode:
        """Add the column."""
        rows = np.empty((ep.length, 1), object)
        rows[:, 0] = [["z", str(row), str(row)] for row in range(ep.length)]
        return ep.with_column("tags", ArrayColumn(TAGS, rows))
