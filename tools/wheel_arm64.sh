#!/usr/bin/env bash
# Build a Linux wheel for 64-bit Arm (NEON) on x86-64 Debian, and test it under emulation: the golden
# hashes, which are those of x86-64, and the tests that are named.
#
#   tools/wheel_arm64.sh [OUTPUT_FOLDER [TEST ...]]     defaults: dist, tests/kernels/test_kernels.py
#
# It needs root, for Debian's QEMU, and Debian's version of Python beside any other. Emulation is
# about 20 times slower than the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:-dist}"
output=$(cd "${1:-dist}" && pwd)
tests=("${@:2}")
[ ${#tests[@]} -gt 0 ] || tests=(tests/kernels/test_kernels.py)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() { printf '\n== %s\n' "$*"; }

step "Python for 64-bit Arm, and an emulator"
dpkg --add-architecture arm64
apt-get update -qq
apt-get install -qq -y qemu-user
version=$(apt-cache show python3:arm64 | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' | head -1)
mkdir "$work/packages" "$work/root"
(cd "$work/packages" && apt-get download -qq "python$version:arm64" \
  libstdc++6:arm64 $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
      --no-replaces --no-enhances "python$version:arm64" | grep -E '^[a-z0-9.+-]+:arm64$'))
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
arm_python() { qemu-aarch64 -L "$work/root" "$work/root/usr/bin/python$version" "$@"; }
arm_python -c 'import platform; print(platform.machine(), platform.python_version())'

step "wheel"
python=$(command -v "python$version")
"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/pip" install -q auditwheel build cmake ninja pybind11 scikit-build-core wheel ziglang
for language in cc c++; do
  cat > "$work/zig-$language" <<EOF
#!/usr/bin/env bash
exec "$tools/python" -m ziglang $language -target aarch64-linux-gnu.2.17 "\$@"
EOF
  chmod +x "$work/zig-$language"
done
# Python describes the other machine's interpreter by these two variables.
settings=_sysconfigdata__aarch64-linux-gnu
cp "$work/root/usr/lib/python$version/$settings.py" "$("$tools/python" -c 'import site; print(site.getsitepackages()[0])')"
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
PATH="$tools:$PATH" CC="$work/zig-cc" CXX="$work/zig-c++" \
  _PYTHON_HOST_PLATFORM=linux-aarch64 _PYTHON_SYSCONFIGDATA_NAME=$settings \
  CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DPython_INCLUDE_DIR=$headers -DPython_LIBRARY=$work/root/usr/bin/python$version \
    -DPython_SOABI=cpython-${version/./}-aarch64-linux-gnu" \
  "$tools/python" -m build --no-isolation --wheel --outdir "$work/built" -C build-dir="$work/build" .
# On x86-64 auditwheel repairs no wheel of another processor, but says which tag it may have.
"$tools/auditwheel" show "$work"/built/*.whl | tee "$work/audit"
tr '\n' ' ' < "$work/audit" | grep -q 'platform tag: "manylinux_2_17_aarch64"'
"$tools/python" -m wheel tags --remove --platform-tag manylinux_2_17_aarch64 "$work"/built/*.whl

step "tests under emulation"
platforms=()
for glibc in 17 24 27 28; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
"$tools/pip" install -q --target "$work/site" --only-binary=:all: --python-version "$version" \
  "${platforms[@]}" -c constraints.txt "$work"/built/*.whl hypothesis pytest pytest-benchmark scipy
PYTHONPATH="$work/site" arm_python -c 'import qpsbgd; print(qpsbgd._core.available_isas())'
PYTHONPATH="$work/site" arm_python -m pytest -q -p no:cacheprovider tests/test_golden.py "${tests[@]}"

cp "$work"/built/*.whl "$output"
ls -l "$output"
