# SPDX-License-Identifier: Apache-2.0
"""Downloads go through the proxies that this machine's own do: the environment's, else apt's."""

from __future__ import annotations

import re
import shutil
import urllib.request
from functools import lru_cache

from lab.build.commands import output

_OF_APT = re.compile(r'^Acquire::(https?)::Proxy "(.+)";$', re.MULTILINE)
_DIRECT = "DIRECT"


@lru_cache(maxsize=4)
def _opener(proxies: tuple[tuple[str, str], ...]) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler(dict(proxies)))


def opener() -> urllib.request.OpenerDirector:
    """Return what opens URLs.

    Returns:
        An opener that heeds http_proxy, https_proxy and no_proxy, and without these what apt.conf
        says for all hosts.
    """
    return _opener(tuple(sorted({**_of_apt(), **urllib.request.getproxies()}.items())))


@lru_cache(maxsize=1)
def _of_apt() -> dict[str, str]:
    if shutil.which("apt-config") is None:
        return {}
    said = dict(_OF_APT.findall(output(["apt-config", "dump"], doing="asking apt for proxies")))
    return {scheme: url for scheme, url in said.items() if url != _DIRECT}
