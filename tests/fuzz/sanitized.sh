#!/usr/bin/env bash
# Fuzz the core with the address and undefined-behaviour sanitizers:
#
#     PYTHON=.venv-test/bin/python tests/fuzz/sanitized.sh --minutes 10 [TARGET ...]
#
# Needs CMake, Ninja and a Python with the test extra and pybind11. The sanitized build goes to
# build/asan-python and does not touch an installed package. Arguments go to `python -m tests.fuzz`.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(command -v "${PYTHON:-python3}")
build=$PWD/build/asan-python
cmake --preset asan-python -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)"
cmake --build --preset asan-python --target _core
mkdir -p "$build/package"
cp -R python/qpsbgd "$build/package/"
rm -f "$build"/package/qpsbgd/_core*.so
cp "$build"/_core*.so "$build/package/qpsbgd/"
# Python itself is not instrumented: the sanitizer's library must be loaded first, and libstdc++
# with it, or exceptions are not intercepted. What Python leaves allocated at its end is no leak.
library() { "${CXX:-g++}" -print-file-name="$1"; }
export LD_PRELOAD="$(library libasan.so) $(library libstdc++.so.6)"
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}"
PYTHONPATH="$build/package" exec "$python" -m tests.fuzz "$@"
