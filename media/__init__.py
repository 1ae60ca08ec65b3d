"""Media: pictures and videos; the only home of PyAV and ffmpeg."""

from __future__ import annotations

import os

# SVT-AV1 prints a banner per encoder unless told not to before it is first used, here or in an ffmpeg process.
os.environ.setdefault("SVT_LOG", "1")
