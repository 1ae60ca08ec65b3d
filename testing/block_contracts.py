"""Contracts of blocks: derive a test class from the suite of its kind, and name the class and its arguments."""

from __future__ import annotations

import builtins
import inspect
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from ..blocks import BLOCKS
from ..blocks.episode_step import EpisodeFilter, EpisodeMap, EpisodeStep
from ..core.columns import ArrayColumn
from ..core.episode import Episode
from ..core.features import VISUAL_NAMES, Feature
from ..pipelines.spec.arguments import BlockSpec, arguments_of, build
from ..pipelines.spec.block_lookup import block_class

JOINTS = ("a", "b", "c", "d", "e", "f")


def make_episode(
    length: int = 8,
    *,
    names: tuple[str, ...] | None = JOINTS,
    width: int = 6,
    height: int = 5,
    image_width: int = 7,
    success: bool | None = None,
    dtype: str = "float32",
) -> Episode:
    """Return an episode with state 10·row + joint, action 100 more, and pixels that are all different."""
    rows = (10 * np.arange(length)[:, None] + np.arange(width)).astype(dtype)
    pixels = np.arange(length * height * image_width * 3, dtype=np.uint32) * 7 % 251
    frames = pixels.astype(np.uint8).reshape(length, height, image_width, 3)
    vector = Feature(dtype, (width,), names)
    camera = Feature("video", (height, image_width, 3), VISUAL_NAMES)
    columns = {
        "observation.state": ArrayColumn(vector, rows),
        "action": ArrayColumn(vector, rows + 100),
        "observation.images.front": ArrayColumn(camera, frames),
        "observation.images.wrist": ArrayColumn(camera, 255 - frames),
    }
    return Episode(id="a.hdf5:demo_0", text="pick", length=length, fps=30, columns=columns, success=success)


class BlockContract:
    """A block that a pipeline can name: a registered one, or a class at the top level of a module of your own.

    Inherit and fill in the class attributes.
    """

    cls: ClassVar[type[Any]]
    arguments: ClassVar[Mapping[str, Any]]  # valid and other than the defaults, as a pipeline file has them

    @property
    def use(self) -> str:
        """The name of the block in a pipeline file."""
        name = getattr(self.cls, "name", "")
        is_registered = name in BLOCKS and BLOCKS[name] is self.cls
        return name if is_registered else f"{self.cls.__module__}:{self.cls.__qualname__}"

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Return the constructor's parameters; a class without a constructor of its own has none."""
        found = inspect.signature(self.cls).parameters
        return {name: one for name, one in found.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}

    def test_every_argument_is_typed_described_and_named(self) -> None:
        for name, parameter in self.parameters().items():
            assert parameter.kind is parameter.KEYWORD_ONLY, name
            assert parameter.annotation is not parameter.empty, name
            assert f"    {name}: " in (self.cls.__doc__ or ""), f"{name} is not under Args:"

    def test_every_argument_is_kept_unchanged_under_its_name(self) -> None:
        block = build(BlockSpec(self.use, self.arguments))
        assert all(hasattr(block, name) for name in self.parameters())
        again = build(BlockSpec(self.use, arguments_of(block)))
        assert arguments_of(again) == arguments_of(block)
        for name, value in self.arguments.items():
            assert arguments_of(block)[name] == value or isinstance(value, dict)

    def test_the_constructor_opens_none_of_its_inputs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        real = builtins.open

        def watched(file: Any, *args: Any, **more: Any) -> Any:
            opened.append(str(file))
            return real(file, *args, **more)

        build(BlockSpec(self.use, self.arguments))  # whatever is imported is imported now
        monkeypatch.setattr(builtins, "open", watched)
        before = len(os.listdir("/proc/self/fd"))
        build(BlockSpec(self.use, self.arguments))
        assert len(os.listdir("/proc/self/fd")) == before
        assert [name for name in opened if not name.endswith(".yaml")] == []

    def test_a_pipeline_file_can_name_it(self) -> None:
        assert block_class(self.use) is self.cls


class StepContract(BlockContract):
    """A filter or a map."""

    def make(self, **changes: Any) -> EpisodeStep:
        step = self.cls(**{**self.arguments, **changes})
        assert isinstance(step, EpisodeFilter | EpisodeMap | EpisodeStep)
        return step

    def episode(self) -> Episode:
        """Return an episode that the block takes."""
        return make_episode()

    def test_an_episode_that_was_rejected_before_goes_through_untouched(self) -> None:
        ep = self.episode()
        ep.reject("earlier", "by another block", error=False)
        before = dict(ep.columns)
        [out] = self.make().run([ep])
        assert out is ep
        assert out.rejection is not None
        assert out.rejection.reason == "earlier"
        assert out.columns == before

    def test_every_episode_comes_out_once_in_order(self) -> None:
        episodes = [self.episode() for _ in range(3)]
        assert [out.id for out in self.make().run(iter(episodes))] == [ep.id for ep in episodes]

    def test_it_takes_one_episode_at_a_time(self) -> None:
        """It never looks ahead: the file of the next episode is not open yet."""
        taken: list[int] = []

        def source() -> Any:
            for number in range(3):
                taken.append(number)
                yield self.episode()

        for number, _ in enumerate(self.make().run(source())):
            assert taken == list(range(number + 1))

    def test_length_and_columns_agree(self) -> None:
        ep = self.make().visit(self.episode())
        if ep.rejection is None:
            for key, column in ep.columns.items():
                assert column.length == ep.length, key
                rows = column.read()
                assert rows.shape == (ep.length, *column.feature.shape), key
                np.testing.assert_array_equal(column.read(1, 3), rows[1:3], err_msg=key)

    def test_without_its_columns_the_episode_is_rejected_and_nothing_else_happens(self) -> None:
        ep = self.episode()
        for key in ep.columns:
            ep = ep.without_column(key)
        out = self.make().visit(ep)
        assert out.rejection is None or (out.rejection.reason == "missing_column" and out.rejection.error)
