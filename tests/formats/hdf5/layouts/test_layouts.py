from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.layout import Layout
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.samples import aloha_sample, generic_sample, piper_sample, robomimic_sample
from robotrove.testing import layout_contract
from robotrove.testing.layout_contract import LayoutContract

LABELS = [True] * 9 + [None, False]


class TestIsaacLab(LayoutContract):
    sample, layout = "isaaclab", "isaaclab"
    state_width, action_width = 7, 7
    task = ("Isaac-Sample-Reach-v0", "env_name")
    success = LABELS


class TestLeIsaac(LayoutContract):
    sample, layout = "leisaac", "leisaac"
    state_width, action_width = 6, 6
    task = ("Pick three oranges and put them into the plate, then reset the arm to rest state.", "env_task")
    fps = (30, "default")
    success = LABELS


class TestLeIsaacWithTwoArms(TestLeIsaac):
    sample = "leisaac_bi_so101"
    state_width, action_width = 12, 12
    task = ("Pick two letter e objects into the box, and reset the arm to rest state.", "env_task")


class TestLeIsaacOnWheels(TestLeIsaac):
    sample = "leisaac_lekiwi"
    state_width, action_width = 9, 9
    task = ("Pick up tissue trash from the floor and throw it into the trash bin.", "env_task")


class TestRobomimic(LayoutContract):
    sample, layout = "robomimic", "robomimic"
    state_width, action_width = 9, 7
    task = ("Sample_Drawer", "env_name")
    success = [None] * 11


class TestLibero(LayoutContract):
    sample, layout = "libero", "libero"
    state_width, action_width = 8, 7
    task = (robomimic_sample.INSTRUCTION, "file")
    fps = (20, "file")
    success = [True] * 11

    def values(self, episode: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        states, actions = robomimic_sample.libero_motion(episode, layout_contract.FRAMES)
        return actions, states


class TestPiper(LayoutContract):
    sample, layout = "piper", "piper"
    state_width, action_width = 14, 14
    task = (piper_sample.INSTRUCTION, "file")
    fps = (30, "default")
    success = [None] * 11
    color_error = 6


class TestPiperRaw(TestPiper):
    sample = "piper_raw"
    color_error = 0


class TestAloha(LayoutContract):
    sample, layout = "aloha", "aloha"
    state_width, action_width = 14, 14
    task = ("", "none")
    fps = (50, "default")
    success = [None] * 11


class TestAlohaPadded(TestAloha):
    sample = "aloha_padded"
    color_error = 6


class TestAlohaVlen(TestAlohaPadded):
    sample = "aloha_vlen"
    task = (aloha_sample.INSTRUCTION, "file")


class TestGeneric(LayoutContract):
    sample, layout = "generic", "generic"
    state_width, action_width = 6, 6
    task = (generic_sample.INSTRUCTION, "file")
    success = LABELS

    def make(self) -> Layout:
        return LAYOUTS["generic"](
            columns={
                "action": ColumnSpec(source="command"),
                "observation.state": ColumnSpec.model_validate(["arm/q", "arm/gripper"]),
                "observation.images.front": ColumnSpec(source="cams/front", color="bgr"),
                "observation.images.wrist": ColumnSpec(source="cams/wrist", color="bgr"),
            },
            episodes="/recordings/run_*",
            success="attr:ok",
            task_from="attr:prompt",
            fps_from="attr:hz",
        )
