# SPDX-License-Identifier: Apache-2.0
"""What a report proves: that the guest which was launched asked for it after a nonce; pure.

All that is wrong is told, not the first alone. Nothing of a report counts if anything is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA384

from lab.confidential import chain as chains
from lab.confidential.chain import ROOTS, Chain
from lab.confidential.report import Processor, Report, parse
from lab.errors import ConfigError

DEBUG = 1 << 19  # of a policy: the host may read the guest's memory
_ECDSA_P384, _VCEK = 1, 0
_SIGNERS = {0: "the VCEK", 1: "the VLEK", 7: "nothing"}
_BINDING = b"caretaker-lab snp report-data v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a report has to say.

    Attributes:
        report_data: 64 bytes: see `binding`.
        measurement: 48 bytes: the launch digest that was computed beforehand.
        host_data: 32 bytes: what the guest was launched with.
        policy: What it was launched with, as a bit mask.
        vmpl: The privilege level that asks.
        report_id: 32 bytes: those of its first report; None for the first one.
    """

    report_data: bytes
    measurement: bytes
    host_data: bytes
    policy: int
    vmpl: int = 0
    report_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a report proves nothing: the check that it fails, and why."""

    check: str
    why: str

    def __str__(self) -> str:
        return f"{self.check}: {self.why}"


def binding(public_key: bytes, nonce: bytes) -> bytes:
    """Return the report data by which a guest says that a key is its own, and was so after a nonce.

    Args:
        public_key: The guest's, made in it.
        nonce: The lab's, drawn for this one report.

    Returns:
        64 bytes.
    """
    total = hashlib.sha512()
    for part in (_BINDING, public_key, nonce):
        total.update(len(part).to_bytes(8, "little") + part)
    return total.digest()


def refusals(
    raw: bytes,
    chain: Chain,
    wanted: Wanted,
    *,
    at: datetime,
    roots: Mapping[str, Processor] = ROOTS,
) -> tuple[Refusal, ...]:
    """Find every reason why a report does not prove what is wanted.

    Args:
        raw: The report: 1184 bytes.
        chain: The certificates, whoever brought them.
        wanted: What the report has to say.
        at: When: a time with a zone.
        roots: The generation of each root that is trusted, by SHA-256 in hex.

    Returns:
        The reasons; none for a report that is good.
    """
    try:
        report = parse(raw)
    except ConfigError as e:
        return (Refusal("form", str(e)),)
    return (
        *_of_form(report),
        *(Refusal("chain", why) for why in chains.wrong_with(chain, at, roots)),
        *_of_signature(report, chain),
        *_of_key(report, chain, roots),
        *_of_guest(report, wanted),
    )


def _of_form(report: Report) -> Iterator[Refusal]:
    if report.signature_algorithm != _ECDSA_P384:
        yield Refusal("form", f"the signature's algorithm is {report.signature_algorithm}, not 1")
    if report.signer != _VCEK:
        signer = _SIGNERS.get(report.signer, f"key {report.signer}")
        yield Refusal("form", f"{signer} signed it, and not the VCEK")
    if report.chip_key_masked:
        yield Refusal("form", "the host had the signature left out: MASK_CHIP_KEY is set")
    if any(report.signature_rest):
        yield Refusal("form", "bytes behind the signature are not zero")


def _of_signature(report: Report, chain: Chain) -> Iterator[Refusal]:
    key = chains.key_of(chain.vcek)
    if key is None:
        return  # the chain is refused for it
    try:
        signature = utils.encode_dss_signature(report.r, report.s)
        key.verify(signature, report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature:
        yield Refusal("signature", "it is not the VCEK's over this report")


def _of_key(report: Report, chain: Chain, roots: Mapping[str, Processor]) -> Iterator[Refusal]:
    """Compare the report with what the processor's certificate says of its key."""
    of_root = roots.get(chain.root)
    is_old = report.processor is None and of_root in {Processor.MILAN, Processor.GENOA}
    if of_root is not None and of_root is not report.processor and not is_old:
        told = report.processor or "Milan or Genoa"
        yield Refusal("processor", f"the report is of {told}, and the ARK of {of_root}")
    try:
        tcb, chip = chains.tcb_of(chain.vcek), chains.chip_of(chain.vcek)
    except ConfigError as e:
        yield Refusal("chain", str(e))
        return
    if tcb != report.reported_tcb:
        yield Refusal("tcb", f"the report says {report.reported_tcb}, and the VCEK {tcb}")
    if not any(report.chip_id):
        yield Refusal("chip", "the host masks the chip's id: it is all zeros")
    elif chip != report.chip_id:
        yield Refusal(
            "chip", f"the report is of chip {report.chip_id.hex()[:16]}..., not the VCEK's"
        )


def _of_guest(report: Report, wanted: Wanted) -> Iterator[Refusal]:
    """Compare the report with the guest that was launched."""
    for name in ("report_data", "measurement", "host_data"):
        said, want = getattr(report, name), getattr(wanted, name)
        if said != want:
            yield Refusal(name, f"it is {said.hex()}, and {want.hex()} was wanted")
    if report.policy != wanted.policy:
        yield Refusal("policy", f"it is {report.policy:#x}, and {wanted.policy:#x} was wanted")
    if report.policy & DEBUG:
        yield Refusal("policy", "the host may read the guest's memory: the debug bit is set")
    if report.vmpl != wanted.vmpl:
        yield Refusal("vmpl", f"it is {report.vmpl}, and {wanted.vmpl} was wanted")
    if wanted.report_id is not None and report.report_id != wanted.report_id:
        yield Refusal(
            "report_id",
            f"it was {wanted.report_id.hex()[:16]}..., and is {report.report_id.hex()[:16]}...: "
            "the guest was launched anew",
        )
