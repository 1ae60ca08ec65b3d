"""huggingface_hub for modules that name something of it and seldom need it: importing it takes 0.2 s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_HUB = "huggingface_hub"


@contextmanager
def hub_later() -> Iterator[None]:
    """Let modules that are imported in the block take functions and classes of huggingface_hub without importing it.

    What they got imports it when it is called. Nothing is an instance of such a class before somebody imported it.
    """
    if _HUB in sys.modules:
        yield
        return
    sys.modules[_HUB] = _Hub(_HUB)
    try:
        yield
    finally:
        del sys.modules[_HUB]


class _Hub(ModuleType):
    def __getattr__(self, name: str) -> _Later:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(name)


class _Later:
    def __init__(self, name: str) -> None:
        self._name = name

    def _found(self) -> Any:
        return getattr(import_module(_HUB), self._name)

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        return self._found()(*arguments, **more)

    def __instancecheck__(self, value: object) -> bool:
        return _HUB in sys.modules and isinstance(value, self._found())
