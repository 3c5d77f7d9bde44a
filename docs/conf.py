# SPDX-License-Identifier: Apache-2.0
"""Settings of Sphinx for `make docs`, whose source folder is the checkout."""

from __future__ import annotations

import lab

project = "Caretaker Lab"
release = lab.__version__
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**.md",
    "guest-images/kernels/reference/*.md",
    "guest-images/kernels/reference/tree/Documentation/virt/**.rst",
    "reports/README.md",
]
exclude_patterns = ["docs/_build"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"Caretaker Lab {release}"
