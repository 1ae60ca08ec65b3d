"""Frames that are stored in another order than shown."""

from __future__ import annotations


class Order:
    """Says whether every frame from 0 on is there just once; keeps in mind only those that came early.

    Attributes:
        complete: Frames 0 to complete - 1 have come.
        early: Frames beyond that which have come.
    """

    __slots__ = ("complete", "early")

    def __init__(self) -> None:
        self.complete = 0
        self.early: set[int] = set()

    def add(self, frame: int) -> bool:
        """Take the next frame stored; return False if it has come before, or is negative."""
        early = self.early
        if frame == self.complete:
            frame += 1
            while frame in early:
                early.remove(frame)
                frame += 1
            self.complete = frame
            return True
        if frame < self.complete or frame in early:
            return False
        early.add(frame)
        return True
