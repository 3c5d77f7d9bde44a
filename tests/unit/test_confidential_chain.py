# SPDX-License-Identifier: Apache-2.0
"""AMD's own chains are believed; one with any fault, or under another root, is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from lab.confidential.attest import refusals
from lab.confidential.chain import ROOTS, chip_of, read
from lab.confidential.report import Processor
from lab.errors import ConfigError
from tests.support import snp_reports as snp
from tests.support.snp_reports import (
    AT,
    checks,
    own_chain,
    own_report,
    real_chain,
    real_report,
    roots,
    wanted,
)


@pytest.mark.parametrize("name", ["milan", "turin"])
def test_a_chain_of_amd_is_believed_and_another_is_not(name: str) -> None:
    want = wanted()
    assert "chain" not in checks(real_report(), real_chain(name, name), want)
    for other in {"milan", "genoa", "turin"} - {name}:
        found = refusals(real_report(), real_chain(name, other), want, at=AT)
        assert "chain: the VCEK is not signed by what is above it" in map(str, found)


def test_the_roots_of_amd_are_pinned() -> None:
    pinned = {real_chain("milan", name.value.lower()).root: name for name in Processor}
    assert pinned == dict(ROOTS)


SMALL = rsa.generate_private_key(65537, 2048)
OWN_CHAINS: dict[str, tuple[dict[str, Any], str]] = {
    "an ARK with another key": (
        {"ark_key": rsa.generate_private_key(65537, 2048).public_key()},
        "the ARK is not signed by what is above it",
    ),
    "a root of 2048 bits": (
        {"ark_key": SMALL.public_key(), "ark_signed_by": SMALL, "ask_signed_by": SMALL},
        "the ARK is not signed by what is above it",
    ),
    "another issuer of the ASK": ({"ask_issuer": "Mallory"}, "the ASK is issued by CN=Mallory"),
    "another issuer of the VCEK": ({"vcek_issuer": "ARK"}, "the VCEK is issued by CN=ARK"),
    "an ARK that ran out": ({"ark_days": -1}, "the ARK is valid from 2026-11-01 to 2026-11-30"),
    "an ASK that ran out": ({"ask_days": -1}, "the ASK is valid from"),
    "a VCEK that ran out": ({"vcek_days": -1}, "the VCEK is valid from"),
    "a VCEK of another curve": (
        {"vcek_key": ec.generate_private_key(ec.SECP256R1()).public_key()},
        "the VCEK's key is not of the curve P-384",
    ),
    "a VCEK of another kind": (
        {"vcek_key": rsa.generate_private_key(65537, 2048).public_key()},
        "the VCEK's key is not of the curve P-384",
    ),
    "a VCEK by an older scheme": (
        {"vcek_scheme": padding.PKCS1v15()}, "the VCEK is not signed by what is above it"
    ),
    "a VCEK by another key": (
        {"vcek_signed_by": rsa.generate_private_key(65537, 4096)},
        "the VCEK is not signed by what is above it",
    ),
    "no chip": ({"vcek_extensions": snp.numbers(**snp.TCB)[:-1]}, "which is the chip's id"),
    "no microcode": ({"vcek_extensions": (*snp.numbers(**snp.TCB)[:3], ("4", snp.CHIP))},
                     "no number in extension 1.3.6.1.4.1.3704.1.3.8"),
    "no number": ({"vcek_extensions": (("3.1", b"\2\2\1"), ("4", snp.CHIP))},
                  "no number in extension 1.3.6.1.4.1.3704.1.3.1"),
}  # fmt: skip


@pytest.mark.parametrize("case", OWN_CHAINS)
def test_a_chain_with_a_fault_is_refused(case: str) -> None:
    changes, says = OWN_CHAINS[case]
    chain = own_chain(**changes)
    want = snp.wanted_of(snp.own_parsed())
    found = refusals(own_report(), chain, want, at=AT, roots=roots(chain))
    assert says in " | ".join(map(str, found))
    assert {each.check for each in found} == {"chain"}


def test_a_root_that_is_not_pinned_is_refused() -> None:
    chain = own_chain()
    found = refusals(own_report(), chain, snp.wanted_of(snp.own_parsed()), at=AT)
    assert [each.check for each in found] == ["chain"]
    assert "the ARK is none of AMD's" in str(found[0])


@pytest.mark.parametrize("days", [-31, 31])
def test_a_chain_is_valid_in_its_time_only(days: int) -> None:
    chain, want = own_chain(), snp.wanted_of(snp.own_parsed())
    at = AT + timedelta(days=days)
    assert checks(own_report(), chain, want, at=at, roots=roots(chain)) == {"chain"}


def test_a_chip_id_may_be_wrapped_in_octets() -> None:
    extensions = (*snp.numbers(**snp.TCB)[:-1], ("4", b"\x04\x40" + snp.CHIP))
    assert chip_of(own_chain(vcek_extensions=extensions).vcek) == snp.CHIP


def test_what_is_no_certificate_is_named() -> None:
    ark, ask = ((snp.FOLDER / f"{name}_milan.pem").read_bytes() for name in ("ark", "ask"))
    with pytest.raises(ConfigError, match="the VCEK is no certificate"):
        read(ark, ask, b"0\x82")
    with pytest.raises(ConfigError, match="the ASK is no certificate"):
        read(ark, b"-----BEGIN CERTIFICATE-----", (snp.FOLDER / "vcek_milan.der").read_bytes())


def test_no_bit_of_a_vcek_may_change() -> None:
    ark, ask = ((snp.FOLDER / f"{name}_milan.pem").read_bytes() for name in ("ark", "ask"))
    good = (snp.FOLDER / "vcek_milan.der").read_bytes()
    for at in range(len(good)):
        der = bytearray(good)
        der[at] ^= 1 << at % 8
        try:
            chain = read(ark, ask, bytes(der))
        except ConfigError:
            continue
        found = refusals(real_report(), chain, wanted(), at=AT)
        assert found or chain.vcek.signature == real_chain().vcek.signature, at
