"""Time and memory of `robotrove repack` against h5py's own copy, and a loop that re-creates each dataset.

    python benchmarks/repack.py [--frames 750]

Repacks a recording of 12 episodes of two 640x480 cameras in gzip, with h5py's automatic chunks, four to a file; about
5 GB for 750 frames, and as much again for each side. Repack and copy have three rounds in turns, of which the fastest
counts, the loop has one; each syncs its files to the disk. The stored chunks of repack's last round are compared with
those of the recording. The targets: at most 1.3 times the time of
`h5py.Group.copy`, at most a fifth of that of the loop, 300 MB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
from measure import Measured, make_source, measure

EPISODES = 12
PER_FILE = 4
ROUNDS = 3


def group_copy(source: h5py.File, target: h5py.File, name: str) -> None:
    source.copy(f"data/{name}", target["data"])


def recreate(source: h5py.File, target: h5py.File, name: str) -> None:
    """Read each dataset whole, and create it with its filters, as split_hdf5.py of piper_gr00t does."""
    made = target.create_group(f"data/{name}")
    made.attrs.update(source[f"data/{name}"].attrs)

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            new = made.create_dataset(
                path,
                data=item[()],
                chunks=item.chunks,
                compression=item.compression,
                compression_opts=item.compression_opts,
                shuffle=item.shuffle,
            )
        else:
            new = made.require_group(path)
        new.attrs.update(item.attrs)

    source[f"data/{name}"].visititems(visit)


SIDES: dict[str, Callable[[h5py.File, h5py.File, str], None]] = {"copy": group_copy, "loop": recreate}


def run_side(side: str, path: Path, folder: Path) -> None:
    folder.mkdir()
    with h5py.File(path) as source:
        names = [f"demo_{number}" for number in range(EPISODES)]
        for index in range(0, EPISODES, PER_FILE):
            new = folder / f"{index}.hdf5"
            with h5py.File(new, "w") as target:
                target.create_group("data").attrs.update(source["data"].attrs)
                for name in names[index : index + PER_FILE]:
                    SIDES[side](source, target, name)
            descriptor = os.open(new, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def compare(path: Path, folder: Path) -> None:
    """Compare stored chunks and other values with those of the recording, and print how many bytes are equal."""
    total = 0
    with h5py.File(path) as source:
        for index in range(0, EPISODES, PER_FILE):
            with h5py.File(folder / f"repack_{index // PER_FILE}.hdf5") as target:
                for name in (f"data/demo_{number}" for number in range(index, index + PER_FILE)):
                    total += _equal_bytes(source[name], target[name])
    print(f"{total:,} bytes of stored chunks: equal", flush=True)


def _equal_bytes(source: h5py.Group, target: h5py.Group) -> int:
    sizes: list[int] = []

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        other = target[path]
        if item.chunks is None:
            is_equal = item[()].tobytes() == other[()].tobytes()
        else:
            chunks: list[tuple[int, ...]] = []
            item.id.chunk_iter(lambda chunk: chunks.append(chunk.chunk_offset))
            is_equal = len(chunks) == other.id.get_num_chunks()
            for start in chunks:
                stored = item.id.read_direct_chunk(start)
                is_equal = is_equal and stored == other.id.read_direct_chunk(start)
                sizes.append(len(stored[1]))
        if not is_equal:
            raise SystemExit(f"{target.name}/{path} is not as in the recording")

    source.visititems(visit)
    return sum(sizes)


def sides(path: Path, root: Path) -> Iterator[tuple[str, Measured]]:
    """Yield each side's rounds, in turns: a disk is not equally fast all the time. The loop has one."""
    own = ["-m", "robotrove.cli", "repack", str(path), "-o", str(root / "repack"), "-e", str(PER_FILE)]
    commands = {"repack": own} | {
        side: [__file__, "--side", side, "--file", str(path), "--folder", str(root / side)] for side in SIDES
    }
    for number, name in enumerate(("copy", "repack") * ROUNDS + ("loop",)):
        os.sync()
        yield name, measure(commands[name])
        if number == 2 * ROUNDS - 1:  # the last round of repack
            compare(path, root / name)
        shutil.rmtree(root / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=750, help="frames of each episode")
    parser.add_argument("--folder", type=Path, help="where the files go for the time being")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run_side(args.side, args.file, args.folder)
        return
    with tempfile.TemporaryDirectory(prefix="robotrove-bench-", dir=args.folder) as folder:
        path = Path(folder, "source.hdf5")
        what = make_source(path, "--size", "480x640", "--episodes", EPISODES, "--frames", args.frames, "--gzip")
        found: dict[str, list[Measured]] = {}
        print(f"{what}: {EPISODES} episodes, {path.stat().st_size / 1e9:.2f} GB of gzip", flush=True)
        for name, run in sides(path, Path(folder)):
            found.setdefault(name, []).append(run)
            print(f"{name}: {run.seconds:.1f} s, CPU {run.cpu_s:.1f} s, peak {run.peak_mb:.0f} MB", flush=True)
    own, copy, loop = (min(run.seconds for run in found[name]) for name in ("repack", "copy", "loop"))
    print(f"\n{'side':<20} {'seconds':>8} {'peak MB':>8}")
    for name, label in (("repack", "robotrove repack"), ("copy", "h5py.Group.copy"), ("loop", "re-creating loop")):
        seconds, peak = min(run.seconds for run in found[name]), max(run.peak_mb for run in found[name])
        print(f"{label:<20} {seconds:>8.1f} {peak:>8.0f}")
    print(f"repack / copy: {own / copy:.2f} (target at most 1.3)")
    print(f"loop / repack: {loop / own:.1f} (target at least 5)")


if __name__ == "__main__":
    main()
