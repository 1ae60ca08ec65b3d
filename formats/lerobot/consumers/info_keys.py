"""Keys of info.json that GR00T reads when it opens a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .. import paths_v21, paths_v30
from ..checks.base import Check, Finding
from ..datasets.dataset_v21 import DatasetViewV21
from .gr00t_release import Release

_USUAL = {
    "data_path": paths_v21.DATA_PATH,
    "chunks_size": paths_v21.CHUNKS_SIZE,
    "video_path": paths_v21.VIDEO_PATH,
}


class InfoKeysCheck(Check[DatasetViewV21]):
    """data_path and chunks_size, in N1 and N1.5 also video_path, are there; N1.6 and N1.7 assume a missing fps.

    `_get_data_path_pattern` and its neighbours in N1 and N1.5, `_load_metadata` in N1.6 and N1.7.
    """

    name = "info_keys"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield keys that are missing."""
        title = self._release.title
        for key, usual in _USUAL.items():
            if key in dataset.info:
                continue
            message = f'{key} is missing; add "{key}": {json.dumps(usual)}, if that is how the files are named'
            if key != "video_path" or self._release.is_typed:
                yield self.error(paths_v30.INFO, f"{title} cannot open the dataset: {message}")
            elif dataset.video_keys:
                yield self.error(paths_v30.INFO, f"{title} finds no video: {message}")
        if "fps" not in dataset.info and not self._release.is_typed:
            yield self.warning(paths_v30.INFO, f'fps is missing: {title} takes 30; add "fps": with the right one')
