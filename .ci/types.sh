#!/usr/bin/env bash
# types.sh: check the types of the built wheel, in a folder of its own: the checkout may bear any name.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" "$root"
python -m zipfile -e "$work"/robotrove-*.whl "$work/wheel"
cd "$work/wheel"
mypy --config-file "$root/pyproject.toml" --cache-dir "$root/.mypy_cache" -p robotrove
