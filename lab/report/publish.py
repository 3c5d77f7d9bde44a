# SPDX-License-Identifier: Apache-2.0
"""From a run's folder to its record and pages: the one door for the plugin and the CLI."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lab.errors import LabError
from lab.history import store
from lab.history.trend import Past, past_of
from lab.record.files import load_document, point, write_document, write_text
from lab.record.model import RunHeader, RunRecord
from lab.record.shards import assemble
from lab.report import index
from lab.report.junit import junit_xml
from lab.report.kcidb import kcidb_json
from lab.report.ktap import results_ktap
from lab.report.page import pages
from lab.report.summary import summary_md
from lab.verify import manifest
from lab.verify.signature import sign

Tell = Callable[[str], None]


def _silent(text: str) -> None:
    """Drop a message."""


def finish(
    folder: Path,
    *,
    known: Path | None = None,
    keep: int = index.KEEP,
    sign_with: Path | None = None,
    tell: Tell = _silent,
) -> RunRecord:
    """End a run now: publish it, seal it, make `latest` point at it, and remove the oldest runs.

    Args:
        folder: The run's folder.
        known: The file of the history to read, and to enter the run into; None for no history.
        keep: How many runs stay.
        sign_with: The SSH key that signs its hash tree; None for no signature.
        tell: Called with its hash tree, and with problems that spoil no report.

    Returns:
        The run's record.
    """
    header = load_document(folder / "header.json", RunHeader)
    ended = header.model_copy(update={"ended": datetime.now(UTC)})
    write_document(folder / "header.json", ended)
    return file(folder, known=known, keep=keep, sign_with=sign_with, tell=tell)


def file(
    folder: Path,
    *,
    known: Path | None = None,
    keep: int = index.KEEP,
    sign_with: Path | None = None,
    tell: Tell = _silent,
) -> RunRecord:
    """Publish and seal a run that has ended, and make it the last of the folder of all runs.

    Args:
        folder: The run's folder.
        known: The file of the history to read, and to enter the run into; None for no history.
        keep: How many runs stay.
        sign_with: The SSH key that signs its hash tree; None for no signature.
        tell: Called with its hash tree, and with problems that spoil no report.

    Returns:
        The run's record.
    """
    record = publish(folder, known=known, tell=tell)
    seal(folder, record, sign_with=sign_with, tell=tell)
    point(folder.parent / "latest", folder.name)
    index.clear(folder.parent, keep)
    index.shelve(folder.parent)
    return record


def publish(folder: Path, *, known: Path | None = None, tell: Tell = _silent) -> RunRecord:
    """Make run.json and the pages from the fragments in the folder; may be repeated at any time.

    Args:
        folder: The run's folder.
        known: The file of the history to read, and to enter the run into; None for no history.
        tell: Called with a problem of the history, which spoils no report.

    Returns:
        The run's record.
    """
    record = assemble(folder)
    write_document(folder / "run.json", record)  # the truth first: the rest is made from it
    write_document(folder / index.BRIEF, index.brief(record))
    write_text(folder / "junit.xml", junit_xml(record))
    write_text(folder / "results.ktap", results_ktap(record))
    write_text(folder / "kcidb.json", kcidb_json(record))
    past = _past(record, folder, known, tell)
    write_text(folder / "summary.md", summary_md(record, past))
    gone = {c.evidence for c in record.cells if c.evidence and not (folder / c.evidence).is_dir()}
    for name, text in pages(record, past, gone=gone):
        write_text(folder / name, text)
    return record


def seal(
    folder: Path, record: RunRecord, *, sign_with: Path | None = None, tell: Tell = _silent
) -> None:
    """Write the hash tree of a run that has ended, and sign it.

    Args:
        folder: The run's folder.
        record: The run's record.
        sign_with: The SSH key that signs it; None for no signature.
        tell: Called with the digest over the run and the key, or with why there is none.
    """
    try:
        tell(f"hash tree: {manifest.seal(folder, record).root}")
        if sign_with is not None:
            tell(f"signed by: {sign(folder / manifest.NAME, sign_with)}")
    except LabError as e:
        tell(f"the run cannot be verified: {e}")


def _past(record: RunRecord, folder: Path, known: Path | None, tell: Tell) -> Past:
    if known is None:
        return Past()
    there = frozenset(path.name for path in index.folders(folder.parent))
    try:
        with store.opened(known) as book:
            past = past_of(record, book, there)
            book.note(record, folder.name)
    except LabError as e:
        tell(f"the history is not used: {e}")
        return Past(problem=str(e))
    return past
