# SPDX-License-Identifier: Apache-2.0
"""From one run record to HTML, JUnit XML, KTAP, KCIDB and Markdown.

Nothing is decided here that is not in the record.
Imported by `cli` and `pytest_plugin`.
"""

from __future__ import annotations
