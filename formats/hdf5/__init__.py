"""Reading demonstrations: the only home of h5py. A layout is one small file and one entry here."""

from __future__ import annotations

from ...core.registry import Registry

# `guess_layout` asks them in this order, the more specific first.
LAYOUTS = Registry(
    "layout",
    __name__,
    {
        "leisaac": "layouts.leisaac:LeIsaacLayout",
        "isaaclab": "layouts.isaaclab:IsaacLabLayout",
        "libero": "layouts.libero:LiberoLayout",
        "robomimic": "layouts.robomimic:RobomimicLayout",
        "piper": "layouts.piper:PiperLayout",
        "aloha": "layouts.aloha:AlohaLayout",
        "generic": "layouts.generic:GenericLayout",
    },
)
