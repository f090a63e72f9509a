#!/usr/bin/env bash
# Build the documentation site with its examples, and check the links between its pages.
#
#   tools/site.sh [OUT] [--all]
#
# --all also checks the anchors of all links, which takes minutes, and asks the servers of links that lead
# out of the site. PYTHON (default: python3) has the package with its extra `docs`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${1:-build/site}
"$python" -m sphinx -q -W --keep-going docs "$out"
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
echo '[checking]' > "$settings"
options=(--config "$settings" --no-status --no-robots)
if [ "${2:-}" = --all ]; then
  echo '[AnchorCheck]' >> "$settings"
  options+=(--check-extern)
fi
"$("$python" -c 'import os, sys; print(os.path.dirname(sys.executable))')/linkchecker" "${options[@]}" \
  "file://$(realpath "$out")/index.html"
