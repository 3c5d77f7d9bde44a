#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Removes what the lab made in this folder, and says what it keeps elsewhere and how to remove that.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/../.."

find reports -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
rm -rf docs/_build .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
find docs lab tests topologies -name __pycache__ -prune -exec rm -rf {} +

if ((EUID == 0)); then cache=/var/cache/caretaker-lab; else cache=${XDG_CACHE_HOME:-$HOME/.cache}/caretaker-lab; fi
cache=${LAB_CACHE:-$cache}
if [[ -d $cache ]]; then
    size=$(du -sh "$cache" | cut -f1)
    echo "kept: $size of built kernels and images (minutes to make again); to remove them: rm -r '$cache'"
fi
