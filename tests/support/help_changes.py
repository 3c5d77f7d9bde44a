# SPDX-License-Identifier: Apache-2.0
"""Prints sections of today's help as `tests/golden/frozen/renames.toml` has them; add each why.

`python -m tests.support.help_changes run ssh`, or without names those that differ.
"""

from __future__ import annotations

import sys

from tests.support.frozen_outputs import HELP, outputs, renames, sections, with_changes


def main() -> None:
    """Print them."""
    frozen = sections(with_changes(HELP, renames().get("change", ())))
    today = sections(dict(outputs())[HELP])
    for name in sys.argv[1:] or [n for n, text in today.items() if frozen.get(n) != text]:
        sys.stdout.write(f'\n[[help]]\nsection = "{name}"\nwhy = ""\ntext = \'\'\'\n')
        sys.stdout.write(f"{today[name]}'''\n")


if __name__ == "__main__":
    main()
