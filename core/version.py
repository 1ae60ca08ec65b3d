"""Version of robotrove, as written to every dataset and run directory."""

from __future__ import annotations

__version__ = "0.2.3"
