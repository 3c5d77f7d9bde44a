# SPDX-License-Identifier: Apache-2.0
"""The certificates above a report: ARK, ASK and VCEK, from AMD's pinned root to one processor.

Whoever brings them need not be trusted: the root is known by its digest.

Source: AMD 57230, "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface
Specification"; the roots are those that virtee/sev 7.1.0 is built with.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.utils import CryptographyDeprecationWarning

from lab.confidential.report import Processor, Tcb
from lab.errors import ConfigError

# SHA-256 over the DER of each ARK.
ROOTS: Mapping[str, Processor] = {
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": Processor.MILAN,
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": Processor.GENOA,
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": Processor.TURIN,
}
_PSS = padding.PSS(padding.MGF1(SHA384()), salt_length=SHA384.digest_size)
_BITS = 4096
# All that cryptography raises for bytes that are no certificate, or one of a form unknown to it.
# A name of an unknown kind of string is a KeyError of 43 to 45.
_DAMAGED = (
    KeyError,
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
_OID = "1.3.6.1.4.1.3704.1"
_PARTS = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8"}
_FMC, _CHIP = "3.9", "4"
_INTEGER, _OCTETS = 0x02, 0x04  # tags of DER


@dataclass(frozen=True, slots=True)
class Chain:
    """Three certificates, in the order in which each signs the next; nothing was verified yet."""

    ark: x509.Certificate
    ask: x509.Certificate
    vcek: x509.Certificate

    @property
    def root(self) -> str:
        """The SHA-256 over the root, in hex."""
        return self.ark.fingerprint(SHA256()).hex()


def read(ark: bytes, ask: bytes, vcek: bytes) -> Chain:
    """Read three certificates.

    Args:
        ark: The root, in DER or PEM.
        ask: What it signs, in DER or PEM.
        vcek: The processor's, in DER or PEM.

    Returns:
        The chain, of which nothing was verified.

    Raises:
        ConfigError: One is no certificate that this version of cryptography reads.
    """
    return Chain(_read("ARK", ark), _read("ASK", ask), _read("VCEK", vcek))


def _read(name: str, data: bytes) -> x509.Certificate:
    pem = data.lstrip().startswith(b"-----BEGIN")
    load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
    with warnings.catch_warnings():
        # The serial number of every VCEK is 0, which is told to become an error one day.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            cert = load(data)
            # Each of these is parsed when it is read first, and may be damaged.
            _ = cert.issuer, cert.subject, cert.public_key(), cert.extensions, cert.version
            _ = cert.not_valid_before_utc, cert.not_valid_after_utc
        except _DAMAGED as e:
            raise ConfigError(f"the {name} is no certificate: {e}") from e
    return cert


def wrong_with(chain: Chain, at: datetime, roots: Mapping[str, Processor] = ROOTS) -> Iterator[str]:
    """Find what is wrong with a chain.

    Args:
        chain: The certificates.
        at: When they have to be valid: a time with a zone.
        roots: The generation of each root that is trusted, by SHA-256 in hex.

    Yields:
        What is wrong, in words; nothing for a good chain.
    """
    if chain.root not in roots:
        yield f"the ARK is none of AMD's: its SHA-256 is {chain.root}"
    above = (("ARK", chain.ark, chain.ark), ("ASK", chain.ask, chain.ark))
    for name, cert, signer in (*above, ("VCEK", chain.vcek, chain.ask)):
        if not _is_signed(cert, signer):
            yield f"the {name} is not signed by what is above it"
        if cert.issuer != signer.subject:
            yield f"the {name} is issued by {cert.issuer.rfc4514_string()}"
        if not cert.not_valid_before_utc <= at <= cert.not_valid_after_utc:
            yield (
                f"the {name} is valid from {cert.not_valid_before_utc:%Y-%m-%d} to "
                f"{cert.not_valid_after_utc:%Y-%m-%d}"
            )
    if key_of(chain.vcek) is None:
        yield "the VCEK's key is not of the curve P-384"


def _is_signed(cert: x509.Certificate, signer: x509.Certificate) -> bool:
    """Verify a signature by RSASSA-PSS with SHA-384, whatever the certificate says of it."""
    key = signer.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != _BITS:
        return False
    try:
        key.verify(cert.signature, cert.tbs_certificate_bytes, _PSS, SHA384())
    except InvalidSignature:
        return False
    return True


def key_of(vcek: x509.Certificate) -> ec.EllipticCurvePublicKey | None:
    """Return the key that signs reports.

    Args:
        vcek: The processor's certificate.

    Returns:
        The key; None if it is of another kind.
    """
    key = vcek.public_key()
    is_p384 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    return key if isinstance(key, ec.EllipticCurvePublicKey) and is_p384 else None


def tcb_of(vcek: x509.Certificate) -> Tcb:
    """Return the TCB that a processor's key is bound to.

    Args:
        vcek: Its certificate.

    Returns:
        The versions; `fmc` is None where the certificate has none.

    Raises:
        ConfigError: The certificate does not say.
    """
    parts = {name: _integer(vcek, oid) for name, oid in _PARTS.items()}
    fmc = _integer(vcek, _FMC) if _extension(vcek, _FMC) is not None else None
    return Tcb(**parts, fmc=fmc)


def chip_of(vcek: x509.Certificate) -> bytes:
    """Return which processor a key is of.

    Args:
        vcek: Its certificate.

    Returns:
        64 bytes, filled with zeros, as a report has them.

    Raises:
        ConfigError: The certificate does not say.
    """
    value = _extension(vcek, _CHIP)
    if value is None:
        raise ConfigError(f"the VCEK has no extension {_OID}.{_CHIP}, which is the chip's id")
    wrapped = value[:1] == bytes([_OCTETS]) and len(value) == 2 + value[1]
    return (value[2:] if wrapped else value).ljust(64, b"\0")


def _integer(vcek: x509.Certificate, oid: str) -> int:
    value = _extension(vcek, oid)
    if value is None or value[:1] != bytes([_INTEGER]) or len(value) != 2 + value[1]:
        raise ConfigError(f"the VCEK has no number in extension {_OID}.{oid}")
    return int.from_bytes(value[2:], "big", signed=True)


def _extension(cert: x509.Certificate, oid: str) -> bytes | None:
    found = {each.oid.dotted_string: each.value for each in cert.extensions}
    value = found.get(f"{_OID}.{oid}")
    return value.value if isinstance(value, x509.UnrecognizedExtension) else None
