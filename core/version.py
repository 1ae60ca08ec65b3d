"""Version of robotrove, as it stands in every dataset and run directory that it writes."""

from __future__ import annotations

__version__ = "0.2.1"
