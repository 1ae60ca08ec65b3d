"""Consumers of datasets: what each of them refuses, misreads or recomputes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...core.registry import Registry

if TYPE_CHECKING:
    from ..check import Consumer

CONSUMERS = Registry(
    "consumer",
    __name__,
    {
        "gr00t-n1": "gr00t:N1",
        "gr00t-n1.5": "gr00t:N1_5",
        "gr00t-n1.6": "gr00t:N1_6",
        "gr00t-n1.7": "gr00t:N1_7",
        "rlinf": "rlinf:RLINF",
        "lerobot": "lerobot:LEROBOT",
        "openpi": "openpi:OPENPI",
    },
)


def chosen(names: Iterable[str]) -> dict[str, Consumer]:
    """Return consumers by their names, each once, in the order given."""
    return {name: CONSUMERS[name] for name in names}
