# SPDX-License-Identifier: Apache-2.0
"""For tests, of the lab and of its users: hosts and guests as objects; simulated guests.

Nothing here runs a cell: that is `lab.runner`. Imported by `lab.pytest_plugin`, and by tests.
"""

from __future__ import annotations

import pytest

# pytest tells what an assert compared only where it was told before the module is imported.
pytest.register_assert_rewrite(
    f"{__name__}.orphans",
    f"{__name__}.resident",
    f"{__name__}.swallowed",
    f"{__name__}.expected",
    f"{__name__}.watched_guest",
)
