#!/usr/bin/env bash
# The suite with every direct dependency at its declared minimum, on the lowest Python that is declared.
# Usage: tests/lowest.sh [PYTEST ARGUMENT…]   Needs uv (pip install uv) and, once, some 6 GB in $LOWEST (/tmp/lowest).
# The environment is kept, and brought up to date when the bounds change.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${LOWEST:-/tmp/lowest}
python=$(sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml)
[ -x "$venv/bin/python" ] || uv venv --quiet --seed --python "$python" "$venv"
uv pip compile --quiet --resolution lowest-direct --python-version "$python" \
  --extra cpu --extra offline --extra test pyproject.toml --output-file "$venv/lowest.txt"
uv pip sync --quiet --python "$venv" "$venv/lowest.txt"
uv pip install --quiet --python "$venv" --no-deps --editable .
"$venv/bin/python" --version
exec "$venv/bin/python" -m pytest "$@"
