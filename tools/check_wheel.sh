#!/usr/bin/env bash
# Install a wheel in a fresh environment, hide all compilers, and use it as a new user would.
#
#   tools/check_wheel.sh PYTHON WHEEL
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
wheel=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r README.md examples "$work"

# Only the programs of the environment are found: no compiler, no CMake.
"$python" -m venv "$work/bare"
"$work/bare/bin/pip" install -q "$wheel"
run() { # folder of programs, command ...
  local programs=$1
  shift
  (cd "$work" && env -i HOME="$work" PATH="$programs" ${QPSBGD_DATA:+QPSBGD_DATA="$QPSBGD_DATA"} "$@")
}
echo "-- without extras"
run "$work/bare/bin" python -c 'import qpsbgd, sys; print(qpsbgd.__version__, "torch" in sys.modules)'
run "$work/bare/bin" python -c '
import qpsbgd
print(qpsbgd.SimulatedAnnealingSampler().sample_ising({}, {("a", "b"): -1.0}, num_reads=10).first)'
run "$work/bare/bin" qpsbgd info || echo "(the command says what to install)"

echo "-- with the extras of the README"
"$python" -m venv "$work/full"
"$work/full/bin/pip" install -q -c constraints.txt "$wheel[train,dwave,plugin]"
run "$work/full/bin" qpsbgd info
run "$work/full/bin" qpsbgd train digits --epochs 2
for example in digits_qpsbgd.py digits_binaryconnect.py two_optimizers.py; do
  run "$work/full/bin" python "examples/$example"
done

echo "-- snippets of the README, one after the other"
awk '/^```python/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md > "$work/snippets.py"
run "$work/full/bin" python snippets.py

echo "-- torch imported before and after, fork and spawn"
run "$work/full/bin" python - <<'EOF'
import subprocess
import sys

PROGRAM = """
import multiprocessing, sys
{first}
{second}
import numpy as np

def energy(seed):
    h, J = np.ones((64, 60)), np.random.default_rng(seed).normal(size=(60, 60))
    return float(qpsbgd.sample_batch(h, J + J.T - 2 * np.diag(J.diagonal()), seed=1).energies.sum())

if __name__ == "__main__":
    torch.randn(300, 300) @ torch.randn(300, 300)
    here = energy(0)
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        assert pool.map(energy, [0, 0]) == [here, here]
    torch.randn(300, 300) @ torch.randn(300, 300)
"""
for imports in (("import qpsbgd", "import torch"), ("import torch", "import qpsbgd")):
    for method in ("fork", "spawn"):
        with open("order.py", "w") as file:
            file.write(PROGRAM.format(first=imports[0], second=imports[1], method=method))
        subprocess.run([sys.executable, "order.py"], check=True, timeout=120)
        print(*imports, method, sep=", ")
EOF
