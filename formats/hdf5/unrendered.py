"""Unrendered recordings: states of a simulator without observations, and the tool that renders them."""

from __future__ import annotations

import shlex
from contextlib import suppress

import h5py

from .hdf5_file import DAMAGE, member, object_name

# Options of robomimic 0.5, RoboCasa 1.0, LIBERO and ManiSkill 3; the first writes into the recording.
_ADD_ENV_ARGS = "python -m robomimic.scripts.conversion.convert_robosuite --dataset {}"
_ROBOSUITE = (
    "python -m robomimic.scripts.dataset_states_to_obs --dataset {} --output_name image.hdf5 --done_mode 2 "
    "--camera_names agentview robot0_eye_in_hand --camera_height 84 --camera_width 84"
)
_ROBOCASA = "python -m robocasa.scripts.dataset_scripts.dataset_states_to_obs --dataset {}"
_LIBERO = "python scripts/create_dataset.py --demo-file {} --use-camera-obs"
_MANISKILL = "python -m mani_skill.trajectory.replay_trajectory --traj-path {} --use-env-states -o rgb --save-traj"


def unrendered(group: h5py.Group) -> str:
    """Return why an episode has no observations, with the command that renders them; empty if it has some.

    robosuite and its descendants record `states` (T, S), `actions` and the attribute `model_file`, ManiSkill's
    `obs_mode="none"` records `env_states` and an empty group `obs`: the simulator can render observations from them.
    """
    obs, states = member(group, "obs"), member(group, "states")
    is_empty = isinstance(obs, h5py.Group) and len(obs) == 0
    # A link that leads nowhere is a fault of its own.
    if member(group, "actions") is None or not (is_empty or group.get("obs", getlink=True) is None):
        return ""
    file = shlex.quote(group.file.filename)
    if member(group, "env_states") is not None:
        tool, command = "ManiSkill", f"`{_MANISKILL.format(file)}`"
    elif not isinstance(states, h5py.Dataset) or not ("model_file" in group.attrs or "env_args" in group.parent.attrs):
        return ""
    elif "ep_meta" in group.attrs:
        tool, command = "RoboCasa", f"`{_ROBOCASA.format(file)}`"
    elif {"problem_info", "bddl_file_name"} & set(group.parent.attrs):
        tool, command = "LIBERO", f"`{_LIBERO.format(file)}` in its repository"
    elif "env_args" in group.parent.attrs:
        tool, command = "robomimic", f"`{_ROBOSUITE.format(file)}`"
    else:
        tool = "robomimic"
        command = f"`{_ADD_ENV_ARGS.format(file)}` (it writes into the file) and `{_ROBOSUITE.format(file)}`"
    return (
        f"{group.name} has states of the simulator but no observations; {tool} renders them: {command}, "
        "then convert the file that this writes"
    )


def unrendered_file(file: h5py.File) -> str:
    """Return `unrendered` of the first group at the root or in /data that is one; empty if none is."""
    with suppress(*DAMAGE):  # a damaged object is no hint
        for parent in (member(file, "data"), file):
            members = (member(parent, object_name(name)) for name in parent) if isinstance(parent, h5py.Group) else ()
            first = next((item for item in members if isinstance(item, h5py.Group)), None)
            if first is not None and (why := unrendered(first)):
                return why
    return ""
