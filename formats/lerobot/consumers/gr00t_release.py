"""The releases of GR00T (NVIDIA Isaac-GR00T), and which column each of them reads."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from ....core.features import Feature
from ..modality import VECTORS, Entry, entries
from ..relative_stats import MODALITY
from ..view_v21 import DatasetViewV21


class Release(IntEnum):
    """A release; a later one is greater.

    Where what follows was read: N1 at 755876a and N1.5 at 4af2b62, gr00t/data/dataset.py and
    schema.py; N1.6 at 4e62473 and N1.7 at 23ace64, gr00t/data/dataset/lerobot_episode_loader.py and
    gr00t/data/stats.py.
    """

    N1 = 10
    N1_5 = 15
    N1_6 = 16
    N1_7 = 17

    @property
    def title(self) -> str:
        """Its name in sentences."""
        return "GR00T " + self.name.replace("_", ".")

    @property
    def is_typed(self) -> bool:
        """True if modality.json is validated as a whole when a dataset is opened, and frames are found by time."""
        return self <= Release.N1_5

    def column(self, entry: Entry) -> Any:
        """Return the feature that an entry stands for, a text if the entry is right.

        `original_key` where it is given. Else a state is in observation.state, an action in action, an
        annotation in a column of its own name; a camera is the feature of that name in N1 and N1.5,
        and observation.images.<name> from N1.6 on.
        """
        default = VECTORS.get(entry.section) or f"annotation.{entry.key}"
        if entry.section == "video":
            default = entry.key if self.is_typed else f"observation.images.{entry.key}"
        given = entry.content.get("original_key", default)
        # N1 and N1.5 take null for not given, but where there is a default in the schema.
        return default if given is None and self.is_typed and entry.section not in VECTORS else given

    def columns(self, dataset: DatasetViewV21, *sections: str) -> list[tuple[Entry, str, Feature]]:
        """Return the entries of some sections whose feature is there; none where there is no modality.json.

        Raises:
            Damaged: If a file cannot be read.
        """
        if not (dataset.root / MODALITY).exists():
            return []
        found = [entry for entry in entries(dataset.json(MODALITY)) if entry.section in sections]
        named = ((entry, self.column(entry)) for entry in found)
        return [
            (entry, column, dataset.features[column])
            for entry, column in named
            if isinstance(column, str) and column in dataset.features
        ]
