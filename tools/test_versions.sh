#!/usr/bin/env bash
# Install the package with its oldest or newest dependencies in a fresh environment and run the tests.
#
#   tools/test_versions.sh minimum|newest [PYTHON]
#
# "minimum" pins the lower bounds of NumPy and dimod that pyproject.toml states. CXX chooses the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${2:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
case "$1" in
  minimum)
    # No extra but the tests' own: torch and Ocean's packages need newer versions of NumPy.
    grep -oE '^dependencies = .*' pyproject.toml | grep -oE '[a-z]+>=[0-9.]+' | sed 's/>=/==/' > "$work/pins"
    "$work/venv/bin/pip" install -q -c "$work/pins" . hypothesis pytest pytest-benchmark pytest-xdist scipy
    "$work/venv/bin/python" -m pytest -n auto tests/test_golden.py tests/kernels/test_kernels.py \
      tests/projection/test_projection.py tests/samplers/test_samplers.py tests/samplers/batch/test_batch.py
    ;;
  newest)
    "$work/venv/bin/pip" install -q '.[all]'
    "$work/venv/bin/python" -m pytest -n auto
    ;;
  *)
    echo "usage: tools/test_versions.sh minimum|newest [PYTHON]" >&2
    exit 2
    ;;
esac
