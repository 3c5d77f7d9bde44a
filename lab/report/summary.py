# SPDX-License-Identifier: Apache-2.0
"""The run as text that people paste: `summary.md`."""

from __future__ import annotations

from lab.history.trend import Past
from lab.record.classify import Standing, headline, must_run_gaps, standing_of
from lab.record.groups import grouped
from lab.record.model import RunRecord
from lab.report.grid import lay_out
from lab.report.render import templates

_NO_PAST = Past()
_TROUBLE = frozenset({Standing.PRODUCT, Standing.LAB})


def summary_md(record: RunRecord, past: Past = _NO_PAST) -> str:
    """Render the page that people paste; its first line is the verdict of the run."""
    groups = grouped(record, flaky=past.flaky)
    return (
        templates()
        .get_template("summary.md.j2")
        .render(
            run=record,
            past=past,
            grid=lay_out(groups),
            headline=headline(record),
            gaps=must_run_gaps(record),
            troubled=[g for g in groups if g.standing in _TROUBLE],
            checks=[check for check in record.checks if standing_of(check) in _TROUBLE],
        )
    )
