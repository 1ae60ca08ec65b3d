"""What an executor does: run the ranks of a stage that lack a completion mark."""

from __future__ import annotations

WORKERS_LOG = "workers.log"  # what workers on this machine print, beside the logging folders of the stages
