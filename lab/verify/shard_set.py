# SPDX-License-Identifier: Apache-2.0
"""The shards of a run as they lie there: each unchanged since its end, together the whole, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lab.errors import ConfigError
from lab.record.cut import MergedShard, ShardRecord, WholeRecord, short
from lab.record.model import RunRecord
from lab.record.shards import assemble
from lab.verify import manifest
from lab.verify.files import changed
from lab.verify.manifest import Manifest
from lab.verify.signature import signer

_NOT_SAME = {
    "lab_commit": "the lab's commit",
    "lab_source": "the lab's code",
    "durations": "the learned durations that it was cut by",
    "limits": "[watch] and [patience] of lab.toml",
    "plan": "the plan of the whole run",
    "must_run": "the cells that have to be judged",
    "names": "the tests of the whole run",
}
_MOST = 3  # names in a message
_DURATIONS_HINT = (
    "shards read the history in the state folder: let each of them begin with the same"
)


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard that has ended.

    Attributes:
        folder: Its run's folder.
        record: Its record, made from its fragments.
        part: Which shard it is, of which run.
        tree: Its hash tree, which its files are those of.
        signed_by: The fingerprint of the key that signed that; "" if nobody did.
    """

    folder: Path
    record: RunRecord
    part: ShardRecord
    tree: Manifest
    signed_by: str

    @property
    def names(self) -> tuple[str, ...]:
        """The tests that it set out to run: keys of cells, ids of tests beside them."""
        planned = self.record.planned
        return (*(cell.key for cell in planned), *self.record.checks_planned)

    def merged(self) -> MergedShard:
        """Return what the merged run says of it.

        Raises:
            ConfigError: It did not end.
        """
        record = self.record
        if record.ended is None:
            raise ConfigError(f"{self.folder}: shard {self.part.index} did not end")
        return MergedShard(
            index=self.part.index,
            run_id=record.run_id,
            started=record.started,
            ended=record.ended,
            command_line=record.command_line,
            root=self.tree.root,
            signed_by=self.signed_by,
            names=self.names,
        )


def read(folder: Path) -> Shard:
    """Read one shard, and require that its files are those of its hash tree.

    Args:
        folder: Its run's folder.

    Raises:
        ConfigError: It is no shard, did not end, or was changed since.
        InfraError: It is signed, and ssh-keygen is missing.
    """
    if not (folder / manifest.NAME).exists():
        raise ConfigError(
            f"{folder}: has no {manifest.NAME}: it did not end, or is no run",
            hint="resume it, with the same --lab-shard: --lab-resume=ID",
        )
    tree = manifest.load(folder)
    signed_by = signer(folder / manifest.NAME)
    for difference in changed(folder, tree):
        raise ConfigError(f"{folder}: {difference} since the run ended")
    record = assemble(folder)
    if record.run_id != tree.run_id:
        raise ConfigError(f"{folder}: {manifest.NAME} is that of another run, {tree.run_id}")
    if record.shard is None:
        raise ConfigError(
            f"{folder}: is no shard but a whole run", hint="only runs of --lab-shard are merged"
        )
    return Shard(folder, record, record.shard, tree, signed_by)


def insist_whole(shards: Sequence[Shard]) -> None:
    """Require that shards are all those of one run, each once.

    Args:
        shards: In any order.

    Raises:
        ConfigError: One is missing, there twice, of another run, or ran what is another's.
    """
    _insist_same(shards)
    whole = shards[0].part.whole
    of, found = shards[0].part.of, Counter(shard.part.index for shard in shards)
    twice = [n for n in sorted(found) if found[n] > 1]
    if twice:
        folders = " and ".join(s.folder.name for s in shards if s.part.index == twice[0])
        raise ConfigError(
            f"shard {twice[0]}/{of} is there {found[twice[0]]} times: {folders}",
            hint="merge one of them",
        )
    missing = [f"{n}/{of}" for n in range(1, of + 1) if n not in found]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {of} shards {'is' if len(missing) == 1 else 'are'} missing: "
            f"{', '.join(missing)}",
            hint=f"run it: pytest topologies --lab-shard={missing[0]}",
        )
    _insist_shared_out(shards, whole)


def _insist_same(shards: Sequence[Shard]) -> None:
    """Require that all shards are of one commit, one configuration and one cut."""
    for one, other in pairwise(shards):
        for name, a, b in _compared(one, other):
            if a != b:
                hint = _DURATIONS_HINT if name == _NOT_SAME["durations"] else None
                raise ConfigError(
                    f"shard {one.part.index} ({one.folder.name}) and shard {other.part.index} "
                    f"({other.folder.name}) are not of one run: {name} {_told(a, b)}",
                    hint=hint,
                )


def _compared(one: Shard, other: Shard) -> Iterator[tuple[str, object, object]]:
    a, b = one.part.whole, other.part.whole
    for name in ("lab_commit", "lab_source"):
        yield _NOT_SAME[name], getattr(a, name), getattr(b, name)
    yield "the tier", one.record.tier, other.record.tier
    yield "how many shards there are", one.part.of, other.part.of
    for name in sorted({*one.record.versions, *other.record.versions}):
        versions = one.record.versions.get(name), other.record.versions.get(name)
        yield f"versions.{name}", *versions
    for field, name in _NOT_SAME.items():
        yield name, getattr(a, field), getattr(b, field)
    kernels, others = one.record.environment.kernels, other.record.environment.kernels
    for name in sorted({*kernels} & {*others}):
        yield f"kernel {name}, by build id,", kernels[name].build_id, others[name].build_id
        yield f"kernel {name}, by its image,", kernels[name].digest, others[name].digest
    images, others_images = one.record.environment.images, other.record.environment.images
    for name in sorted({*images} & {*others_images}):
        yield f"image {name}", images[name], others_images[name]


def _told(a: object, b: object) -> str:
    simple = str | int
    if isinstance(a, simple) and isinstance(b, simple):
        return f"was {short(a)} in one, {short(b)} in the other"
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = sorted(key for key in {*a, *b} if a.get(key) != b.get(key))
        return f"differ in {', '.join(keys[:_MOST])}"
    return "differ"


def _insist_shared_out(shards: Sequence[Shard], whole: WholeRecord) -> None:
    """Require that every test of the whole is one shard's, and none ran what is another's."""
    owner: dict[str, int] = {}
    for shard in shards:
        for name in shard.names:
            if name in owner:
                raise ConfigError(f"{name} is in shard {owner[name]} and in {shard.part.index}")
            owner[name] = shard.part.index
    for shard in shards:
        tests = (*(c.key for c in shard.record.cells), *(c.id for c in shard.record.checks))
        for name in tests:
            if owner.get(name) != shard.part.index:
                raise ConfigError(
                    f"shard {shard.part.index} ({shard.folder.name}) has a record of {name}, "
                    "which is not its own"
                )
    if missing := [name for name in whole.names if name not in owner]:
        raise ConfigError(f"{len(missing)} tests are in no shard: {', '.join(missing[:_MOST])}")
    if more := [name for name in owner if name not in {*whole.names}]:
        raise ConfigError(f"{len(more)} tests are not of the whole: {', '.join(more[:_MOST])}")
