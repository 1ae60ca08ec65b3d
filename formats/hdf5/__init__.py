"""Reading demonstrations: the only home of h5py. A layout is one small file and one entry here."""

from __future__ import annotations

from ...core.registry import Registry

# `guess_layout` asks them in this order, the more specific first.
LAYOUTS = Registry(
    "layout",
    __name__,
    {
        "leisaac": "leisaac:LeIsaacLayout",
        "isaaclab": "isaaclab:IsaacLabLayout",
        "libero": "libero:LiberoLayout",
        "robomimic": "robomimic:RobomimicLayout",
        "piper": "piper:PiperLayout",
        "aloha": "aloha:AlohaLayout",
        "generic": "generic:GenericLayout",
    },
)
