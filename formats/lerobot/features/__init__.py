"""Kinds of columns: a kind is one module and one line here."""

from __future__ import annotations

from ....core.features import LISTS, NUMBER_DTYPES
from ....core.registry import Registry

# By dtype in info.json; depth, and a column that points into a list, have no dtype of their own.
KINDS = Registry(
    "kind of column",
    __name__,
    {
        "video": "colour_video:ColourVideo",
        "image": "colour_image:ColourImage",
        "depth video": "depth:DepthVideo",
        "depth image": "depth:DepthImage",
        "string": "text:Text",
        "language": "language:Language",
        **dict.fromkeys(LISTS.values(), "list_index:ListIndex"),
        **dict.fromkeys(NUMBER_DTYPES, "vector:Vector"),
    },
)
