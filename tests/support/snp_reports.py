# SPDX-License-Identifier: Apache-2.0
"""Reports of SEV-SNP: a published real one, and such as a root of our own vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lab.confidential.attest import Wanted, refusals
from lab.confidential.chain import Chain, read
from lab.confidential.report import SIGNED, Processor, Report, parse

FOLDER = Path(__file__).with_name("snp")
AT = datetime(2026, 12, 1, tzinfo=UTC)
CHIP = bytes(range(1, 65))
_PSS = padding.PSS(padding.MGF1(SHA384()), salt_length=48)
_OID = "1.3.6.1.4.1.3704.1"


def real_report() -> bytes:
    """Return the report of a real Milan processor."""
    return bytes.fromhex((FOLDER / "report_milan.hex").read_text(encoding="ascii"))


def real_chain(vcek: str = "milan", above: str = "milan") -> Chain:
    """Return the certificates of a real processor, under a root of AMD's."""
    ark, ask = ((FOLDER / f"{name}_{above}.pem").read_bytes() for name in ("ark", "ask"))
    return read(ark, ask, (FOLDER / f"vcek_{vcek}.der").read_bytes())


def wanted_of(report: Report, **changes: Any) -> Wanted:
    """Return what a report says as what is wanted, with changes."""
    same: dict[str, Any] = {
        name: getattr(report, name)
        for name in ("report_data", "measurement", "host_data", "policy", "vmpl", "report_id")
    }
    return Wanted(**{**same, **changes})


def wanted(**changes: Any) -> Wanted:
    """Return what the real report says as what is wanted, with changes."""
    return wanted_of(parse(real_report()), **changes)


def checks(raw: bytes, chain: Any, want: Wanted, **options: Any) -> set[str]:
    """Return by which checks a report is refused."""
    return {each.check for each in refusals(raw, chain, want, **{"at": AT, **options})}


@cache
def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=4096)


@cache
def own_key() -> ec.EllipticCurvePrivateKey:
    """Return the key of our own processor."""
    return ec.generate_private_key(ec.SECP384R1())


@dataclass(frozen=True)
class Made:
    """How a certificate is made."""

    subject: str
    issuer: str
    key: Any
    extensions: tuple[tuple[str, bytes], ...] = ()
    days: int = 30
    signed_by: Any = None
    scheme: Any = None

    def der(self) -> bytes:
        """Return it, signed."""
        names = [
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            for name in (self.subject, self.issuer)
        ]
        builder = x509.CertificateBuilder(
            subject_name=names[0],
            issuer_name=names[1],
            public_key=self.key,
            serial_number=1,
            not_valid_before=AT - timedelta(days=30),
            not_valid_after=AT + timedelta(days=self.days),
        )
        for oid, value in self.extensions:
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{_OID}.{oid}"), value)
            builder = builder.add_extension(extension, critical=False)
        signer = self.signed_by or _rsa()
        made = builder.sign(signer, SHA384(), rsa_padding=self.scheme or _PSS)
        return made.public_bytes(Encoding.DER)


def numbers(**parts: int) -> tuple[tuple[str, bytes], ...]:
    """Return the extensions of a TCB and of a chip."""
    of = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}
    size = {name: 1 + (value > 127) for name, value in parts.items()}
    told = [
        (of[name], bytes([2, size[name]]) + value.to_bytes(size[name], "big"))
        for name, value in parts.items()
    ]
    return (*told, ("4", CHIP))


TCB = {"bootloader": 3, "tee": 0, "snp": 8, "microcode": 209}


def own_chain(**changes: Any) -> Chain:
    """Return a chain under a root of our own; `vcek_days=-1` makes its VCEK run out."""
    public = _rsa().public_key()
    kinds = {
        "ark": Made("ARK", "ARK", public),
        "ask": Made("ASK", "ARK", public),
        "vcek": Made("VCEK", "ASK", own_key().public_key(), numbers(**TCB)),
    }
    for change, value in changes.items():
        name, _, field = change.partition("_")
        kinds[name] = Made(**{**vars(kinds[name]), field: value})
    return read(*(kinds[name].der() for name in ("ark", "ask", "vcek")))


def roots(chain: Chain, processor: Processor = Processor.MILAN) -> dict[str, Processor]:
    """Return the root of a chain as one that is trusted."""
    return {chain.root: processor}


def signed(body: bytes) -> bytes:
    """Return a report that our own processor signs anew."""
    r, s = utils.decode_dss_signature(own_key().sign(body[:SIGNED], ec.ECDSA(SHA384())))
    signature = r.to_bytes(72, "little") + s.to_bytes(72, "little")
    return body[:SIGNED] + signature + bytes(len(body) - SIGNED - len(signature))


def own_report(changes: dict[int, bytes] | None = None) -> bytes:
    """Return the real report as our own processor would sign it, with bytes changed by offset."""
    body = bytearray(real_report())
    tcb = bytes([TCB["bootloader"], TCB["tee"], 0, 0, 0, 0, TCB["snp"], TCB["microcode"]])
    for at, value in {0x180: tcb, 0x1A0: CHIP, **(changes or {})}.items():
        body[at : at + len(value)] = value
    return signed(bytes(body))


def own_parsed(changes: dict[int, bytes] | None = None) -> Report:
    """Return the same, taken apart."""
    return parse(own_report(changes))


def refused_for(raw: bytes, chain: Chain, **changes: Any) -> list[str]:
    """Return by which checks a report is refused that says all else that is wanted."""
    want = wanted_of(parse(raw), **changes)
    return [each.check for each in refusals(raw, chain, want, at=AT, roots=roots(chain))]
