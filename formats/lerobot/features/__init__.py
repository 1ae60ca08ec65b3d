"""Kinds of columns: a kind is one module and one line here."""

from __future__ import annotations

from ....core.registry import Registry

# `kind_of` asks them in this order, the more specific first.
KINDS = Registry(
    "kind of column",
    __name__,
    {
        "colour video": "colour_video:ColourVideo",
        "colour image": "colour_image:ColourImage",
        "text": "text:Text",
        "list index": "list_index:ListIndex",
        "vector": "vector:Vector",
    },
)
