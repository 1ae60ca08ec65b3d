"""Who reads finished datasets, and what each of them refuses, reads wrong or computes anew."""

from __future__ import annotations

from ....core.registry import Registry

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
