"""The contract suites hold for implementations that are not registered, as a lab inherits them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from robotrove.blocks import BLOCKS
from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.layout import Layout
from robotrove.media.encode.encoder import Encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.testing.block_contracts import StepContract
from robotrove.testing.encoder_contract import EncoderContract
from robotrove.testing.layout_contract import LayoutContract
from robotrove.tests.support.blocks.outside import LabEncoder, LabLayout, NoIdleStart


class TestBlock(StepContract):
    cls = NoIdleStart
    arguments: ClassVar[Mapping[str, Any]] = {}

    def test_it_is_named_by_module_and_class(self) -> None:
        assert self.use == "robotrove.tests.support.blocks.outside:NoIdleStart"
        assert "no_idle_start" not in BLOCKS


class TestLayout(LayoutContract):
    sample, layout = "isaaclab", "lab"
    state_width, action_width = 7, 7
    task = ("Isaac-Sample-Reach-v0", "env_name")
    success: ClassVar[list[bool | None]] = [True] * 9 + [None, False]

    def make(self) -> Layout:
        assert self.layout not in LAYOUTS
        return LabLayout()


class TestEncoder(EncoderContract):
    def settings(self, codec: str, **changes: Any) -> VideoSettings:
        return VideoSettings(codec=codec, **changes)

    def make(self, settings: VideoSettings) -> Encoder:
        return LabEncoder(settings)


def test_an_encoder_that_breaks_the_contract_is_caught(tmp_path: Path) -> None:
    class Wrong(LabEncoder):
        def encode(self, *args: Any, **options: Any) -> int:
            return super().encode(*args, **options) - 1

    class Suite(TestEncoder):
        def make(self, settings: VideoSettings) -> Encoder:
            return Wrong(settings)

    with pytest.raises(AssertionError):
        Suite().test_every_frame_once_and_in_order(tmp_path, "libx264", 3)
