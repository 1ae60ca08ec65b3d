"""Job scripts of a hand-off: a readable command, and an sbatch file around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote

TRAIN = "train.sh"


def in_comments(name: str) -> str:
    """Return a name as it may stand in a comment or between quotes: it may come from a dataset of somebody else."""
    return "".join(char if char.isprintable() and char not in "\"'\\`$" else "_" for char in name)


def option_lines(options: Mapping[str, str]) -> str:
    """Return options for a command over several lines; values must be quoted already."""
    return " \\\n".join(
        f"    {name}{'' if name.endswith('=') or not value else ' '}{value}" for name, value in options.items()
    )


def script(comments: Iterable[str], body: str) -> str:
    """Return a bash script that stops at the first error; with CDPATH, cd would print, and may go elsewhere."""
    about = "".join(f"# {line}\n" for line in comments)
    return f"#!/usr/bin/env bash\n{about}set -euo pipefail\nunset CDPATH\n{body}"


def sbatch(name: str, command: Path, gpus: int = 1) -> str:
    """Return a job script for one node, which gives its arguments to a command.

    Args:
        name: Of the job.
        command: The script that it starts, by its absolute path.
        gpus: GPUs of the node; 8 CPUs and 64 GB of memory are asked for with each.
    """
    return f"""#!/usr/bin/env bash
#SBATCH --job-name={in_comments(name).replace(" ", "_")}
#SBATCH --nodes=1
#SBATCH --gres=gpu:{gpus}
#SBATCH --cpus-per-task={8 * gpus}
#SBATCH --mem={64 * gpus}G
#SBATCH --time=24:00:00
# Add --partition and --account as your cluster wants them, and what makes Python and CUDA available.
set -euo pipefail
export NUM_GPUS=${{SLURM_GPUS_ON_NODE:-{gpus}}}
exec bash {quote(str(command))} "$@"
"""
