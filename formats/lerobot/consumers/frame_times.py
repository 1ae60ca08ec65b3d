"""Frames that GR00T N1.5 would take one too early, since it finds them by time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..checks.base import Check, Finding
from ..checks.timestamps import column_of
from ..datasets.dataset_v21 import DatasetViewV21
from ..time_limits import TOLERANCE_S


class FrameTimesCheck(Check[DatasetViewV21]):
    """No timestamp is a hair before the time of its frame.

    `get_video` gives the column `timestamp` as it is to torchcodec's `get_frames_played_at`
    (gr00t/utils/video.py, N1.5), which returns the frame that is shown then: for the float32 nearest
    to 0.3 s, which is less, the one before. decord takes the nearest frame.
    """

    name = "frame_times"

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield one finding that counts the frames."""
        if not dataset.video_keys:
            return
        fps, early, total, where, shown = dataset.fps, 0, 0, "", ""
        for data in dataset.data_files():
            for first, batch in dataset.row_batches(data.path, ("timestamp", "frame_index")):
                found, frames = (column_of(batch, name, data.path) for name in ("timestamp", "frame_index"))
                times, exact = found.astype(np.float64), frames / fps
                is_early = (times < exact) & (times > exact - TOLERANCE_S)  # others: the check of timestamps
                if is_early.any() and not early:
                    row = int(np.argmax(is_early))
                    where, shown = f"{data.path}, row {first + row}", f"{times[row]:.12g} before {exact[row]:.12g}"
                early, total = early + int(np.count_nonzero(is_early)), total + len(times)
        if early:
            told = f"{early} of {total} timestamps are before their frame, such as {shown}"
            yield self.error(where, f"{told}: with torchcodec GR00T N1.5 takes the frame before; {_mend(dataset)}")


def _mend(dataset: DatasetViewV21) -> str:
    decord = "train with `--video-backend decord`, which takes the nearest (H.264, not AV1)"
    frames = np.arange(dataset.lengths.max())
    if (frames * (1 / dataset.fps) < frames / dataset.fps).any():
        return f"{decord}: at {dataset.fps} fps times in float64 are early too"
    return f"{decord}, or write times in float64 with `downgrader: {{reference_exact: true}}` in the pipeline"
