# SPDX-License-Identifier: Apache-2.0
"""The evidence of a cell in one file, from which it can be judged again without loss.

Version 1 had beats alone, and cannot be judged. The key of the guest's beacon is in the file: the
guest is watched no more by then, and without the key nobody could hash its links again.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import zlib
from array import array
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import BeforeValidator, ValidationError, create_model, model_validator

from lab.config.enums import DisruptionKind
from lab.errors import ConfigError
from lab.observe.eye import Found, Mark, Sight
from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.window import Window
from lab.record.model import Scalar
from lab.redact import redacted
from lab.verdict.evidence import Evidence
from lab.verdict.problem import Problem
from lab.verify.case import Case
from lab.verify.plain_files import read_regular
from lab.verify.trail_part import Boot, FilePart, TrailPart, written

NAME = "beats.json.gz"
EVIDENCE_VERSION = 2
_MOST = 1 << 28  # bytes, unpacked: an hour of 16 vCPUs is less
_VCPUS = 4096
_Witness = type[Happened] | type[DidNot] | type[Undisturbed]
_WITNESSES: dict[str, _Witness] = {k.__name__: k for k in (Happened, DidNot, Undisturbed)}
_APART = {"trails", "disruption"}  # fields of Evidence that are written by themselves
_HINTS = get_type_hints(Evidence)
# What an older lab did not know yet has its default: it was not known.
_FIELDS: dict[str, Any] = {
    f.name: (_HINTS[f.name], ... if f.default is dataclasses.MISSING else f.default)
    for f in dataclasses.fields(Evidence)
    if f.name not in _APART
}
_Known: type[FilePart] = create_model("_Known", __base__=FilePart, **_FIELDS)


class OtherVersionError(ConfigError):
    """The evidence is of a version that this lab cannot judge."""


class WitnessPart(FilePart):
    """What the second witness says, with its kind.

    Raises:
        ValueError: A witness of that kind says something else.
    """

    kind: Literal["Happened", "DidNot", "Undisturbed"]
    what: str | None = None
    at: float | None = None
    done: float | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _says_all(self) -> Self:
        said = {name for name in self.model_fields_set if name != "kind"}
        wanted = {f.name for f in dataclasses.fields(_WITNESSES[self.kind])}
        if said != wanted:
            raise ValueError(f"a {self.kind} has {sorted(wanted)}, and this one {sorted(said)}")
        return self

    def witness(self) -> Happened | DidNot | Undisturbed:
        """Return the witness."""
        return _WITNESSES[self.kind](**self.model_dump(exclude={"kind"}, exclude_unset=True))


class EvidenceFile(FilePart):
    """What stands in the file.

    Raises:
        ValueError: There are more vCPUs than any machine has.
    """

    evidence_version: int
    cell: str
    disruption: DisruptionKind
    beacon_key: Boot
    trails: dict[int, TrailPart]
    witness: WitnessPart | None
    known: Annotated[Any, BeforeValidator(_Known.model_validate)]
    resumed: Window | None
    why: str
    done: dict[str, Scalar]
    facts: dict[str, Scalar]
    problems: tuple[Problem, ...]
    sight: Sight
    marks: tuple[Mark, ...]

    @model_validator(mode="after")
    def _vcpus(self) -> Self:
        if self.known.expected_vcpus > _VCPUS:
            raise ValueError(f"no guest has more than {_VCPUS} vCPUs")
        return self


def save(path: Path, case: Case) -> None:
    """Write the evidence of a cell.

    Args:
        path: The file.
        case: What the cell is judged by.

    Raises:
        OSError: It cannot be written.
    """
    _write(path, _document(case))


def save_beats(path: Path, found: Found) -> None:
    """Write what was seen of a guest that was never judged: it cannot be, for all else is missing.

    Args:
        path: The file.
        found: What the eye saw.

    Raises:
        OSError: It cannot be written.
    """
    trails = {n: written(trail) for n, trail in found.trails.items()}
    rest = {"sight": found.sight, "marks": found.marks}
    _write(path, {"evidence_version": EVIDENCE_VERSION, "trails": trails, **rest})


def load(path: Path) -> Case:
    """Read the evidence of a cell.

    Args:
        path: The file; no symbolic link is followed.

    Returns:
        What the cell was judged by.

    Raises:
        OtherVersionError: It is older or newer than what this lab can judge.
        ConfigError: It is not there, is damaged, or is no such file.
    """
    try:
        data = json.loads(unpacked(read_regular(path)))
    except ConfigError:
        raise
    except (ValueError, EOFError, OSError, zlib.error, RecursionError) as e:
        raise ConfigError(f"{path}: damaged: {e}") from e
    version = _version(data)
    if version is None:
        raise ConfigError(f"{path}: damaged: it has no evidence_version")
    if version != EVIDENCE_VERSION:
        age = "before" if version < EVIDENCE_VERSION else "after"
        raise OtherVersionError(f"{path}: written {age} evidence version {EVIDENCE_VERSION}")
    try:
        return _case(EvidenceFile.model_validate(data))
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the whole file"
        raise ConfigError(f"{path}: damaged: {key}: {first['msg']}") from e


def unpacked(raw: bytes) -> bytes:
    """Unpack a gzip file of one member, and no more than can be evidence.

    Args:
        raw: The file.

    Raises:
        ValueError: It is cut short, has something behind it, or is far too long.
        zlib.error: It is damaged.
    """
    engine = zlib.decompressobj(wbits=31)
    data = engine.decompress(raw, _MOST)
    if engine.unconsumed_tail:
        raise ValueError(f"it has more than {_MOST} bytes")
    if not engine.eof:
        raise ValueError("it is cut short")
    if engine.unused_data:
        raise ValueError("it has bytes after its end")
    return data


def _write(path: Path, document: dict[str, object]) -> None:
    text = json.dumps(_plain(document), allow_nan=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _version(data: object) -> int | None:
    if not isinstance(data, dict):
        return None
    found = data.get("evidence_version", data.get("version"))  # as version 1 called it
    return found if isinstance(found, int) else None


def _document(case: Case) -> dict[str, object]:
    known, witness = case.evidence, case.evidence.disruption
    kind = None if witness is None else type(witness).__name__
    return {
        "evidence_version": EVIDENCE_VERSION,
        "cell": case.cell,
        "disruption": case.disruption,
        "beacon_key": case.key.hex(),
        "trails": {n: written(trail) for n, trail in known.trails.items()},
        "witness": None if witness is None else {"kind": kind, **dataclasses.asdict(witness)},
        "known": {
            f.name: getattr(known, f.name)
            for f in dataclasses.fields(known)
            if f.name not in _APART
        },
        **{
            f.name: getattr(case, f.name)
            for f in dataclasses.fields(case)
            if f.name not in {"cell", "disruption", "key", "evidence"}
        },
    }


def _plain(value: object) -> Any:
    """Turn a value into what JSON has, without the secrets of the run; what it has not, is text."""
    match value:
        case array() if value.typecode in "qQ":
            return list(value)
        case list() | tuple() | array():
            return [_plain(each) for each in value]
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case _ if dataclasses.is_dataclass(value):
            fields = dataclasses.fields(value)
            return {f.name: _plain(getattr(value, f.name)) for f in fields}
        case _:
            return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case str():
            return redacted(value)
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value


def _case(file: EvidenceFile) -> Case:
    key = bytes.fromhex(file.beacon_key)
    trails = {n: part.trail(key) for n, part in file.trails.items()}
    known = {name: getattr(file.known, name) for name in _Known.model_fields}
    witness = None if file.witness is None else file.witness.witness()
    evidence = Evidence(trails=trails, disruption=witness, **known)
    rest = {
        name: getattr(file, name)
        for name in (f.name for f in dataclasses.fields(Case))
        if name not in {"key", "evidence"}
    }
    return Case(key=key, evidence=evidence, **rest)
