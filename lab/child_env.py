# SPDX-License-Identifier: Apache-2.0
"""The environment of the programs that the lab runs: what is listed here, and nothing else.

With the user's whole environment, KCONFIG_CONFIG would have tinyconfig written over the user's own
file, GIT_DIR another repository's HEAD moved, and LLVM, CC or MAKEFLAGS another kernel built than
the cache and the record say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

UMASK = 0o022  # QEMU, another user under libvirt, reads what is built

_ALLOWED = (
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR",
    "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
)  # fmt: skip
_FOR_NETWORK = (
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
    "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "APT_CONFIG",
)  # fmt: skip
_OF_BUILDS = (
    "ARCH", "CC", "CROSS_COMPILE", "HOSTCC", "KAFLAGS", "KCFLAGS", "LD", "LLVM", "LLVM_IAS",
)  # fmt: skip


def child_env(
    more: Mapping[str, str] | None = None, *, network: bool = False, python: bool = False
) -> dict[str, str]:
    """Return the environment for a program.

    Args:
        more: Variables that the caller sets.
        network: The program fetches: it learns of proxies, certificates and the SSH agent, too.
        python: The program is Python that imports this very lab.

    Returns:
        All of its variables.
    """
    names = (*_ALLOWED, *(_FOR_NETWORK if network else ()))
    env = {name: os.environ[name] for name in names if name in os.environ}
    env["LC_ALL"] = "C.UTF-8"  # what programs say is read
    if python:
        env["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    return env | dict(more or {})


def ignored_by_builds(said: Iterable[str]) -> tuple[str, ...]:
    """List the variables that a kernel build would heed elsewhere, as NAME=VALUE.

    Args:
        said: Words NAME=VALUE that lab.toml has for make: those names are not listed.

    Returns:
        What is set in this process's environment, and is not passed on.
    """
    known = {word.partition("=")[0] for word in said}
    return tuple(
        f"{name}={os.environ[name]}"
        for name in _OF_BUILDS
        if os.environ.get(name) and name not in known
    )
