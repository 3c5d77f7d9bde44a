# SPDX-License-Identifier: Apache-2.0
"""Where the files are that the lab reads and that are no modules of it.

In a checkout they lie at its top level; a wheel has the same folders in `lab/_data`. They are
found by path and not as resources: make, gcc and patch read them, and need real files.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PACKED = _PACKAGE / "_data"

INSTALLED = _PACKED.is_dir()
"""Whether this is an installed wheel; else it is a checkout."""

INSTALLER = str(_PACKAGE / "install" / "debian.sh") if INSTALLED else "make install"
"""What to type for the Debian packages that the lab needs."""

ROOT = _PACKED if INSTALLED else _PACKAGE.parent
"""The folder that has the three below; not to be written to where `INSTALLED`."""

GUEST_IMAGES = ROOT / "guest-images"
"""What hosts and guests are made of: kernels, l1 and l2."""

TOPOLOGIES = ROOT / "topologies"
"""The topologies that the lab comes with, and the tests beside them."""

LAB_TOML = ROOT / "lab.toml"
"""The configuration that counts where the user has none."""
