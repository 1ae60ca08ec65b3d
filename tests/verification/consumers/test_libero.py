"""Grippers and pictures of LIBERO; its raw grippers are what isaaclab_franka of RLinf may have, under the same keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ...support.datasets.consumer_cases import RELEASES
from .conftest import FRONT, INFO, MODALITY, Copy
from .test_consumers import LIBERO_FRANKA

TYPED = ("gr00t-n1", "gr00t-n1.5", "rlinf")
GRIPPER = f"{MODALITY}, action.gripper"
NAMES = {"robotrove": "ee_states_0", "any4lerobot": "axis_angle1", "another robot": "eef_pos_0"}


def prepared(copy: Copy, recorder: str, grippers: tuple[float, ...]) -> Copy:
    """Give a dataset the keys of LIBERO, the names of a recorder, and grippers in turn."""
    copy.json(MODALITY, lambda found: (found.clear(), found.update(LIBERO_FRANKA)))
    copy.json(INFO, lambda info: info["features"]["observation.state"]["names"].__setitem__(0, NAMES[recorder]))
    copy.column(
        "action",
        lambda frames: [[0.0] * 6 + [float(value)] for value in np.resize(grippers, len(frames))],
        pa.list_(pa.float32()),
    )
    return copy


@pytest.mark.parametrize("consumer", [*RELEASES, "rlinf"])
@pytest.mark.parametrize(
    ("recorder", "grippers", "expected"),
    [
        ("robotrove", (-1, 1), ["error"]),
        ("any4lerobot", (-1, 1), ["error"]),
        ("robotrove", (0, 1), []),
        ("robotrove", (0.25, 0.75), []),
        ("robotrove", (0, 1.5), ["error"]),
        ("robotrove", (0, 0.5), ["warning"]),
        ("robotrove", (0,), ["warning"]),
        ("another robot", (0, 0.5), []),
        ("another robot", (-1, 1), ["warning"]),
        ("another robot", (-1, 0.5, 1), []),
        ("another robot", (0, 1), []),
        ("another robot", (1,), []),
    ],
)
def test_grippers(copy: Copy, consumer: str, recorder: str, grippers: tuple[float, ...], expected: list[str]) -> None:
    found = [one for one in prepared(copy, recorder, grippers).found(consumer) if one[1] == GRIPPER]
    assert [severity for severity, _, _ in found] == expected
    for _, _, message in found:
        assert message.startswith(f"has values from {min(grippers):g} to {max(grippers):g}, but LIBERO")
        assert ("nothing opens the gripper" if max(grippers) <= 0.5 else "robotrove run libero_gr00t") in message
        assert ("isaaclab_franka" in message) == (recorder == "another robot")


@pytest.mark.parametrize("consumer", [*RELEASES, "rlinf"])
@pytest.mark.parametrize("recorder", ["robotrove", "another robot"])
def test_pictures_of_another_size_than_the_environments_render(copy: Copy, consumer: str, recorder: str) -> None:
    found = prepared(copy, recorder, (0, 1)).found(consumer)
    is_told = recorder == "robotrove" and consumer in TYPED
    assert [(severity, where) for severity, where, _ in found] == [
        ("warning", f"{MODALITY}, video.{key}") for key in ("image", "wrist_image") if is_told
    ]
    if is_told:
        assert found[0][2].startswith(f"{FRONT} is 64x48, but the environments of LIBERO render 256x256, and GR00T N1")
        assert "env.*.init_params.camera_heights 48 and camera_widths 64" in found[0][2]
        assert "image_resizer: {height: 256, width: 256}" in found[0][2]


def test_a_part_of_the_keys_is_another_robot(copy: Copy) -> None:
    prepared(copy, "robotrove", (-1, 1)).json(MODALITY, lambda found: found["video"].pop("wrist_image"))
    assert [where for _, where, _ in copy.found("gr00t-n1.6")] == []


@pytest.mark.parametrize("consumer", ["openpi", "lerobot"])
@pytest.mark.parametrize(
    ("recorder", "grippers", "expected"),
    [
        ("robotrove", (0, 1), ["warning"]),
        ("any4lerobot", (0, 1), ["warning"]),
        ("another robot", (0, 1), []),
        ("robotrove", (-1, 1), []),
        ("robotrove", (1,), []),
    ],
)
def test_grippers_for_environments_that_take_them_as_recorded(
    copy: Copy, consumer: str, recorder: str, grippers: tuple[float, ...], expected: list[str]
) -> None:
    found = [one for one in prepared(copy, recorder, grippers).found(consumer) if one[1] == "action"]
    assert [severity for severity, _, _ in found] == expected
    for _, _, message in found:
        assert message.startswith("has grippers from 0 to 1, as GR00T and RLinf take them; the LIBERO environments")
        assert "robotrove run libero`" in message
