"""From the vectors of a dataset to a simulator's by the robot's manifest alone, without the run that made it."""

from __future__ import annotations

from ...blocks.inverse import Entry, WayBack, motor_units
from ...core.errors import UsageError, nearest
from ...core.features import Feature
from ...manifests.robot import RobotManifest, load_robot, robots_of_type


def way_of_robot(actions: Feature, robot_type: str | None, robot: str | None, space: str | None) -> WayBack:
    """Return the way back from actions to the joints of a simulator.

    A robot with motor ranges is taken to be in motor units, as LeRobot's datasets of it are. Actions of a keyboard, a
    gamepad or a state machine are the simulator's own already, and stay as they are: they have neither the names nor
    the number of the joints.

    Args:
        actions: What the dataset has; without the robot's joint names they are taken in its order.
        robot_type: As in info.json.
        robot: Robot manifest, name or YAML file; by default the shipped one of that type.
        space: Joint space of the simulator; by default `action` or the only one, or the robot's joints if it has none.

    Raises:
        UsageError: If there is no such robot or space, or the actions are not those of the robot.
    """
    known = [load_robot(robot)] if robot is not None else robots_of_type(robot_type)
    if not known:
        raise UsageError(
            "robot_type of meta/info.json",
            f"is {robot_type!r}, and no robot manifest has it",
            "a robot that is known",
            "say which with --robot NAME or FILE, or give --source RUN_DIR",
        )
    names = actions.names or ()
    manifest = next((one for one in known if _fits(actions, one)), None)
    if manifest is None:
        if robot is None and names and not any(set(names) & set(one.joint_names) for one in known):
            return WayBack(tuple(Entry(name, column) for column, name in enumerate(names)))
        joints = ", ".join(known[0].joint_names)
        raise UsageError(
            "action",
            f"has {actions.shape[0]} entries ({', '.join(names[:3]) or 'without names'} …), "
            f"which are not the joints of robot {known[0].name}",
            f"{len(known[0].joints)}: {joints}",
            "--robot NAME or FILE of the robot that it is, or --source RUN_DIR",
        )
    if not names or not set(names) <= set(manifest.joint_names):
        names = tuple(manifest.joint_names)
    changes = dict(zip(names, motor_units(manifest, names, actions.dtype), strict=True))
    entries = []
    for name in _space(manifest, space):
        change = changes.get(name)
        entries.append(Entry(name, names.index(name) if name in names else None, (change,) if change else ()))
    return WayBack(tuple(entries))


def _fits(actions: Feature, robot: RobotManifest) -> bool:
    """True for vectors with names of the robot's joints, or with none of them and as many entries."""
    names, joints = set(actions.names or ()), set(robot.joint_names)
    return bool(names and names <= joints) or (not names & joints and actions.shape == (len(joints),))


def _space(robot: RobotManifest, space: str | None) -> list[str]:
    if space is None:
        if not robot.spaces:
            return robot.joint_names
        space = "action" if "action" in robot.spaces or len(robot.spaces) > 1 else next(iter(robot.spaces))
    if space not in robot.spaces:
        found = f"robot {robot.name} has no joint space {space!r}{nearest(space, robot.spaces)}"
        raise UsageError(
            "--space", found, "one of " + ", ".join(robot.spaces) if robot.spaces else "none: leave it out"
        )
    return robot.spaces[space]
