#!/usr/bin/env bash
# The suite with every direct dependency at its declared minimum, on the lowest Python that is declared.
# Usage: tests/lowest.sh [PYTEST ARGUMENT…]    PYTHON=3.13 RESOLUTION=highest tests/lowest.sh    for another environment.
# Needs uv (pip install uv) and some 6 GB for the environment, which is kept in $LOWEST and follows the bounds.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml)}
resolution=${RESOLUTION:-lowest-direct}
venv=${LOWEST:-${TMPDIR:-/tmp}/morelli-$resolution-$python}
[ -x "$venv/bin/python" ] || uv venv --quiet --seed --python "$python" "$venv"
uv pip compile --quiet --resolution "$resolution" --python-version "$python" \
  --extra cpu --extra offline --extra test pyproject.toml --output-file "$venv/resolved.txt"
uv pip sync --quiet --python "$venv" "$venv/resolved.txt"
uv pip install --quiet --python "$venv" --no-deps --editable .
"$venv/bin/python" --version
exec "$venv/bin/python" -m pytest "$@"
