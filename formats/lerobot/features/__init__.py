"""Kinds of columns: a kind is one module and one line here."""

from __future__ import annotations

from ....core.features import NUMBER_DTYPES
from ....core.registry import Registry

# By dtype in info.json; a column that repeats task_index has no dtype of its own.
KINDS = Registry(
    "kind of column",
    __name__,
    {
        "video": "colour_video:ColourVideo",
        "image": "colour_image:ColourImage",
        "string": "text:Text",
        "task_index": "list_index:ListIndex",
        **dict.fromkeys(NUMBER_DTYPES, "vector:Vector"),
    },
)
