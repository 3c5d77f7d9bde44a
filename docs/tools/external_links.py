# SPDX-License-Identifier: Apache-2.0
"""Asks each external link of the pages whether it still answers: `make docs-links`."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from docs.tools.pages import external, pages

_TIMEOUT_S = 20
_AGENT = {"User-Agent": "caretaker-lab-docs"}


def refusal(url: str) -> str:
    """Return why `url` does not answer; empty if it does."""
    request = urllib.request.Request(url, headers=_AGENT)  # noqa: S310 - http and https only
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 - ditto
            return ""
    except (OSError, urllib.error.URLError) as e:
        return str(e)


def main() -> int:
    """Ask for each link once, and print those that do not answer."""
    places: dict[str, str] = {}
    for page in pages():
        for url in external(page):
            places.setdefault(url.partition("#")[0], page.name)
    with ThreadPoolExecutor(max_workers=4) as pool:
        refusals = dict(zip(places, pool.map(refusal, places), strict=True))
    dead = {url: why for url, why in refusals.items() if why}
    for url, why in dead.items():
        print(f"{places[url]}: {url}: {why}")
    print(f"{len(places)} external links, {len(dead)} of which do not answer")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
