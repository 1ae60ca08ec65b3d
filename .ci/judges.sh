#!/usr/bin/env bash
# judges.sh RELEASE FOLDER: make a virtual environment in FOLDER that has this release of LeRobot:
# 0.3.3 (reads v2.1), 0.4.4 or 0.6.1 (read v3.0). FOLDER/bin/python is then what ROBOTROVE_JUDGE_033, _044 or _061
# names. Takes about 5 minutes and 8 GB.
set -euo pipefail
. "$(dirname "$0")/python.sh"

case "${1:-}" in
    0.3.3) version=3.11 requirement='lerobot==0.3.3' ;;
    0.4.4) version=3.11 requirement='lerobot==0.4.4' ;;
    0.6.1) version=3.12 requirement='lerobot[dataset]==0.6.1 accelerate' ;; # the latter for training
    *) echo "judges.sh: release '${1:-}' is not known; expected 0.3.3, 0.4.4 or 0.6.1" >&2; exit 2 ;;
esac
folder=${2:?judges.sh: the second argument is missing: the folder of the environment}

python=$(find_python "$version")
"$python" -m venv "$folder"
# Compiling every module of PyTorch takes minutes, and the judges import few of them. A connection that breaks in
# gigabytes of downloads says nothing of robotrove: try again.
for attempt in 1 2 3; do
    # shellcheck disable=SC2086 # may be two requirements
    "$folder/bin/python" -m pip install --quiet --progress-bar off --no-cache-dir --no-compile $requirement && break
    [ "$attempt" -lt 3 ] || exit 1
    sleep 20
done
"$folder/bin/python" -c 'from lerobot.datasets.lerobot_dataset import LeRobotDataset; import torchcodec.decoders'
