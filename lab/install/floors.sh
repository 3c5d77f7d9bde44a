#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests that the lab works with the oldest versions that pyproject.toml allows: in a virtual environment of their own, the
# command and the unit tests. What these depend on in turn is the newest that goes with them.
#
#   floors.sh           in a folder that is removed at the end
#   floors.sh FOLDER    in FOLDER, which stays: the second time takes no installing
#   PYTHON=/path        the Python to make it with; without it that of .venv, or else python3
set -euo pipefail

script=${BASH_SOURCE[0]}
[[ $script == */* ]] || script=./$script
root=$(cd "${script%/*}/../.." && pwd)
if (($#)); then
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
python=$folder/bin/python

# Direct dependencies at their floors, by ==; theirs are for pip to choose.
pins() {
    "$python" - "$root/pyproject.toml" <<'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for wanted in (*project["dependencies"], *(d for e in ("company", "snp", "stats") for d in extras[e])):
    name, floor = wanted.split(">=")
    print(f"{name}=={floor}")
END
}

usual=$root/.venv/bin/python
[[ -x $usual ]] || usual=python3
[[ -x $python ]] || "${PYTHON:-$usual}" -m venv "$folder"
pins >"$folder/floors.txt"
if ! cmp -s "$folder/floors.txt" "$folder/installed.txt"; then
    "$python" -m pip install --quiet --disable-pip-version-check --no-input -r "$folder/floors.txt" </dev/null
    "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -e "$root" </dev/null
    cp "$folder/floors.txt" "$folder/installed.txt"
fi
sed 's/^/floor: /' "$folder/floors.txt"

cd "$root"
export PYTHONPATH=$root
"$python" -m lab --help >/dev/null
"$python" -m lab ladder >/dev/null
"$python" -m lab run --disruption vmm-kill --dry-run >/dev/null
# Not of code that imports none of them: labvmm, judgement, C. Nor of the documents and the examples of CI, which are
# made and checked in a checkout only.
"$python" -m pytest -q -p no:cacheprovider tests/unit \
    --ignore-glob='*/test_vmm_*' --ignore-glob='*/test_observe_*' --ignore-glob='*/test_verdict_*' \
    --ignore-glob='*/test_reference_*' --ignore-glob='*/test_l2_*' --ignore-glob='*/test_docs.py' --ignore-glob='*/test_docs_ci_examples.py'
