# SPDX-License-Identifier: Apache-2.0
"""Debian's archive, through an apt root of the lab's own: signed, and the user's stays as it is.

Its mirror is the one that this machine uses itself, so that proxies and local mirrors are honoured.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Architecture
from lab.build.cache import Cache
from lab.build.commands import need, output
from lab.errors import ConfigError, InfraError, LabError, OfflineError
from lab.events import Sink, Step

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FRESH_S = 24 * 3600
USUAL_MIRROR = "http://deb.debian.org/debian"
_INSTALLED = re.compile(r"^Inst (\S+) \((\S+)", re.MULTILINE)
_CARRIED_OVER = re.compile(r"Acquire::(https?|Retries|ForceIPv[46]|Check-Date|Check-Valid-Until)\b")


@dataclass(frozen=True, slots=True)
class Found:
    """One version of a package, and the suite that offers it."""

    version: str
    suite: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """What the index says of one version of a package: its file, and what it needs."""

    name: str
    version: str
    path: str
    """Where the file is on the mirror."""
    size: int
    """Bytes."""
    sha256: str
    depends: str

    def needs_of_same_version(self) -> tuple[str, ...]:
        """Return the packages that it needs in exactly its own version: parts of one whole."""
        parts = (part.strip().partition(" ") for part in self.depends.split(","))
        return tuple(name for name, _, version in parts if version == f"(= {self.version})")


def mirror(override: str | None = None) -> str:
    """Return the URL of the Debian mirror to use.

    Args:
        override: The URL that lab.toml names; that of this machine's apt if None.

    Returns:
        The URL, without a slash at its end.

    Raises:
        ConfigError: lab.toml names none, and this machine's apt has none.
    """
    if override:
        return override.rstrip("/")
    need("apt-get", package="apt")
    listed = output(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Origin: Debian"],
        doing="asking apt for its mirrors",
    )
    for line in listed.splitlines():
        site, _, _ = line.partition(" ")
        if not site.rstrip("/").endswith("-security"):
            return site.rstrip("/")
    raise ConfigError(
        "this machine's apt has no Debian mirror (or its lists were never fetched)",
        hint="run 'apt-get update', or set 'mirror' in lab.toml to the URL of a Debian mirror",
    )


def first(urls: Sequence[str]) -> str | None:
    """Return the mirror whose index counts.

    Args:
        urls: Those that lab.toml names.

    Returns:
        The first; None if there is none.
    """
    return urls[0] if urls else None


def mirrors() -> tuple[str, ...]:
    """Return the mirrors to ask for a file of Debian's pool: this machine's own, then Debian's.

    Returns:
        URLs, without a slash at their ends.
    """
    try:
        own = mirror()
    except LabError:  # this machine has no apt, or one that knows no mirror
        return (USUAL_MIRROR,)
    return tuple(dict.fromkeys((own, USUAL_MIRROR)))


def sources(site: str, suites: Sequence[str]) -> str:
    """Return the text of a sources.list that trusts Debian's own keys and no others.

    Args:
        site: The mirror's URL.
        suites: Debian's suites.

    Returns:
        A line for each suite.

    Raises:
        ConfigError: Debian's keyring is not installed.
    """
    if not KEYRING.exists():
        raise ConfigError(
            f"'{KEYRING}' is missing, so Debian's signatures cannot be checked",
            hint="apt install debian-archive-keyring",
        )
    return "".join(f"deb [signed-by={KEYRING}] {site} {suite} main\n" for suite in suites)


def carried_over() -> str:
    """Return this machine's own download settings (proxies and the like) as lines of apt.conf."""
    dump = output(["apt-config", "dump"], doing="reading apt's configuration", env=_of_apt())
    return "".join(f"{line}\n" for line in dump.splitlines() if _CARRIED_OVER.match(line))


def _of_apt() -> dict[str, str]:
    """Return what of the environment apt's programs heed that stay on this machine."""
    return {name: os.environ[name] for name in ("APT_CONFIG",) if name in os.environ}


def _fields(stanza: str) -> dict[str, str]:
    """Return the fields of a package's stanza, without lines that continue one; none of nothing."""
    lines = (line.partition(": ") for line in stanza.split("\n\n", maxsplit=1)[0].splitlines())
    return {key: value for key, _, value in lines if not key.startswith(" ")}


def _stanza(said: Mapping[str, str]) -> Stanza:
    return Stanza(
        name=said["Package"],
        version=said["Version"],
        path=said["Filename"],
        size=int(said["Size"]),
        sha256=said["SHA256"],
        depends=said.get("Depends", ""),
    )


class Archive:
    """Some suites of Debian for one architecture, indexed under the cache.

    Args:
        cache: Where the index is.
        override: The mirror's URL; that of this machine's apt if None.
        suites: Debian's suites.
        target: The architecture.
    """

    def __init__(
        self, cache: Cache, override: str | None, suites: Sequence[str], target: Architecture
    ) -> None:
        self._suites = tuple(suites)
        self._override = override
        self._target = target
        self._root = cache.folder("apt") / "-".join((target.debian, *sorted(suites)))
        self._stamp = self._root / "fetched-from"

    def __str__(self) -> str:
        return f"{', '.join(self._suites)} at {self._known()}"

    def versions(self, package: str, sink: Sink) -> tuple[Found, ...]:
        """Return the versions of `package`, newest first, by an index less than a day old.

        Args:
            package: Debian's name of it.
            sink: Receives the steps.

        Returns:
            Version and suite of each.

        Raises:
            ConfigError: No mirror is known.
            InfraError: There is no index, and the mirror does not answer.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._refresh(sink)
            listed = self._madison(package)
        return tuple(
            Found(version.strip(), where.split()[1].split("/")[0])
            for _, version, where in (line.split("|") for line in listed.splitlines())
            if "Packages" in where
        )

    def stanza(self, package: str, version: str) -> Stanza | None:
        """Return what the index says of one version of a package; `versions` has fetched it.

        Args:
            package: Its name.
            version: Its version.

        Returns:
            The stanza; None if the index has none.
        """
        said = _fields(self._ask("show", f"{package}={version}"))
        return _stanza(said) if said else None

    def installed_with(self, packages: Sequence[str]) -> tuple[Stanza, ...]:
        """Return all that installing packages on nothing would install; `renew` has the index.

        Args:
            packages: Their names; "?essential" is all that Debian calls so.

        Returns:
            The stanzas, by name; recommended packages are not among them.

        Raises:
            InfraError: apt finds no way to install them.
        """
        said = output(
            ["apt-get", *self._options(), "--simulate", "-o", "APT::Install-Recommends=false",
             "install", *packages],
            doing=f"asking apt what {', '.join(packages)} need",
            env=_of_apt(),
        )  # fmt: skip
        chosen = sorted(f"{name}={version}" for name, version in _INSTALLED.findall(said))
        shown = self._ask("show", *chosen)
        return tuple(_stanza(_fields(stanza)) for stanza in shown.split("\n\n") if stanza.strip())

    def renew(self, sink: Sink) -> None:
        """Fetch the index, however new it is.

        Args:
            sink: Receives the steps.

        Raises:
            ConfigError: No mirror is known.
            InfraError: The mirror does not answer.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._update(mirror(self._override), sink)

    def names(self, prefix: str) -> tuple[str, ...]:
        """Return the names of packages that begin with `prefix`; `versions` has fetched the index.

        Args:
            prefix: What they begin with.

        Returns:
            The names, sorted.
        """
        return tuple(sorted(self._ask("pkgnames", prefix).split()))

    def download(self, package: str, version: str, into: Path) -> Path:
        """Fetch one package; apt checks it against the signed index.

        Args:
            package: Its name.
            version: Its version.
            into: The folder for it.

        Returns:
            The file.

        Raises:
            InfraError: The mirror does not give it.
            OfflineError: The lab is offline.
        """
        output(
            ["apt-get", *self._options(), "download", f"{package}={version}"],
            doing=f"downloading {package} {version} of {self}",
            network=True,
            cwd=into,
        )
        return next(into.glob(f"{package}_*.deb"))

    def _known(self) -> str | None:
        return self._stamp.read_text() if self._stamp.exists() else None

    def _refresh(self, sink: Sink) -> None:
        known = self._known()
        usable = known is not None and self._override in {None, known}
        if usable and time.time() - self._stamp.stat().st_mtime < FRESH_S:  # noqa: TID251 - a file's
            return
        try:
            self._update(mirror(self._override), sink)
        except OfflineError:
            raise
        except InfraError:
            if not usable:
                raise
            sink(Step(what="the mirror does not answer; using the previous index"))

    def _update(self, site: str, sink: Sink) -> None:
        self._write_settings(site)
        sink(Step(what=f"fetching the package index of {', '.join(self._suites)}"))
        output(
            ["apt-get", *self._options(), "update", "--error-on=any"],
            doing=f"fetching the package index from {site}",
            network=True,
        )
        self._stamp.write_text(site)

    def _madison(self, package: str) -> str:
        """Ask apt-cache once an index: it takes seconds."""
        answer = self._root / f"{package}.versions"
        if not answer.exists() or answer.stat().st_mtime < self._stamp.stat().st_mtime:
            listed = output(
                ["apt-cache", *self._options(), "madison", package],
                doing=f"looking for {package}",
                env=_of_apt(),  # as when the index was fetched
            )
            answer.write_text(listed)
        return answer.read_text()

    def _ask(self, *words: str) -> str:
        """Return what apt-cache says; "" for what it has not."""
        command = ["apt-cache", *self._options(), *words]
        try:
            return output(command, doing=f"asking apt-cache to {words[0]}", env=_of_apt())
        except InfraError:
            return ""

    def _write_settings(self, site: str) -> None:
        for folder in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        (self._root / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        (self._root / "status").touch()
        (self._root / "etc/sources.list").write_text(sources(site, self._suites))
        settings = self._root / "etc/apt.conf.d/machine"
        settings.touch(mode=0o600)
        settings.chmod(0o600)  # a proxy may be named with its password
        settings.write_text(carried_over())

    def _options(self) -> list[str]:
        settings = {
            "Dir::Etc": self._root / "etc",
            "Dir::Etc::parts": self._root / "etc/apt.conf.d",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::netrc": "/etc/apt/auth.conf",
            "Dir::Etc::netrcparts": "/etc/apt/auth.conf.d",
            "Dir::State": self._root / "state",
            "Dir::State::status": self._root / "status",
            "Dir::Cache": self._root / "cache",
            "APT::Architecture": self._target.debian,
            "APT::Architectures": self._target.debian,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
