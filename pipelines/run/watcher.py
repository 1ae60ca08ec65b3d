"""Listeners for the progress of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .status import RunStatus


class Watcher(ABC):
    """Told what happens while a run is planned and executed."""

    @abstractmethod
    def planning(self, done: int, total: int) -> None:
        """Files read so far, and in all."""

    @abstractmethod
    def started(self, status: RunStatus) -> None:
        """The stages begin."""

    @abstractmethod
    def progress(self, status: RunStatus) -> None:
        """About twice a second while ranks run."""


class Silent(Watcher):
    """Tells nobody."""

    def planning(self, done: int, total: int) -> None:
        """Say nothing."""

    def started(self, status: RunStatus) -> None:
        """Say nothing."""

    def progress(self, status: RunStatus) -> None:
        """Say nothing."""
