# SPDX-License-Identifier: Apache-2.0
"""A real report is believed; each changed byte of it, and each thing not wanted, is told."""

from __future__ import annotations

import pytest

from lab.confidential import attest
from lab.confidential.attest import binding, refusals
from lab.confidential.chain import chip_of, tcb_of
from lab.confidential.report import SIGNED, SIZE, Processor, Tcb, parse
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

# Of the real report, by offset: what a flipped bit there is caught by beside the signature.
FIELDS = {
    "version": (0x000, "form"),
    "guest_svn": (0x004, "signature"),
    "policy": (0x008, "policy"),
    "family_id": (0x010, "signature"),
    "image_id": (0x020, "signature"),
    "vmpl": (0x030, "vmpl"),
    "signature_algorithm": (0x034, "form"),
    "current_tcb": (0x038, "signature"),
    "platform_info": (0x040, "signature"),
    "key_info": (0x048, "signature"),
    "reserved": (0x04C, "signature"),
    "report_data": (0x050, "report_data"),
    "measurement": (0x090, "measurement"),
    "host_data": (0x0C0, "host_data"),
    "id_key_digest": (0x0E0, "signature"),
    "author_key_digest": (0x110, "signature"),
    "report_id": (0x140, "report_id"),
    "report_id_ma": (0x160, "signature"),
    "reported_tcb": (0x180, "tcb"),
    "cpuid": (0x188, "signature"),
    "chip_id": (0x1A0, "chip"),
    "committed_tcb": (0x1E0, "signature"),
    "current_version": (0x1E8, "signature"),
    "committed_version": (0x1EC, "signature"),
    "launch_tcb": (0x1F0, "signature"),
    "mitigations": (0x1F8, "signature"),
    "end of what is signed": (SIGNED - 1, "signature"),
    "r": (SIGNED, "signature"),
    "end of r": (SIGNED + 71, "signature"),
    "s": (SIGNED + 72, "signature"),
    "end of s": (SIGNED + 143, "signature"),
    "behind the signature": (SIGNED + 144, "form"),
    "the end": (SIZE - 1, "form"),
}


def test_a_real_report_of_a_real_processor_is_believed() -> None:
    assert refusals(real_report(), real_chain(), wanted(), at=AT) == ()
    report = parse(real_report())
    assert (report.version, report.policy, report.vmpl) == (2, 0x30000, 0)
    assert report.reported_tcb == Tcb(bootloader=3, tee=0, snp=8, microcode=0x73)
    assert tcb_of(real_chain().vcek) == report.reported_tcb
    assert chip_of(real_chain().vcek) == report.chip_id


@pytest.mark.parametrize("field", FIELDS)
def test_a_flipped_bit_of_any_field_is_told(field: str) -> None:
    at, check = FIELDS[field]
    raw = bytearray(real_report())
    raw[at] ^= 1
    told = checks(bytes(raw), real_chain(), wanted())
    assert check in told
    assert "signature" in told or told == {"form"}


def test_no_byte_of_a_report_may_change() -> None:
    chain, want = real_chain(), wanted()
    for at in range(SIZE):
        raw = bytearray(real_report())
        raw[at] ^= 0x80
        assert refusals(bytes(raw), chain, want, at=AT), hex(at)


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_a_report_of_another_size_is_refused(size: int) -> None:
    (told,) = refusals(real_report().ljust(SIZE + 1, b"\0")[:size], real_chain(), wanted(), at=AT)
    assert str(told) == f"form: an attestation report has 1184 bytes, and {size} came"


# What is changed here is signed anew: only the check itself can tell.
TOLD = {
    "version": ({0x000: b"\4"}, "form", "version 4 came; known are 2, 3, 5"),
    "no processor": ({0x000: b"\3", 0x188: b"\x17"}, "form", "no processor known"),
    "algorithm": ({0x034: b"\2"}, "form", "algorithm is 2, not 1"),
    "vlek": ({0x048: b"\4"}, "form", "the VLEK signed it"),
    "unsigned": ({0x048: b"\x1c"}, "form", "nothing signed it"),
    "key 3": ({0x048: b"\x0c"}, "form", "key 3 signed it"),
    "masked": ({0x048: b"\2"}, "form", "MASK_CHIP_KEY"),
    "report data": ({0x050: b"\1"}, "report_data", "was wanted"),
    "measurement": ({0x0BF: b"\1"}, "measurement", "was wanted"),
    "host data": ({0x0C0: b"\1"}, "host_data", "was wanted"),
    "policy": ({0x00A: b"\2"}, "policy", "it is 0x20000, and 0x30000 was wanted"),
    "vmpl": ({0x030: b"\2"}, "vmpl", "it is 2, and 0 was wanted"),
    "report id": ({0x140: b"\0"}, "report_id", "the guest was launched anew"),
    "older tcb": ({0x186: b"\7"}, "tcb", "snp 7, microcode 209, and the VCEK"),
    "another chip": ({0x1A0: b"\xff"}, "chip", "not the VCEK's"),
    "no chip": ({0x1A0: bytes(64)}, "chip", "masks the chip's id"),
    "of Turin": ({0x1A8: bytes(56)}, "processor", "is of Turin, and the ARK of Milan"),
    "of Genoa": ({0x000: b"\3", 0x188: b"\x19\x11"}, "processor", "of Genoa, and the ARK of Milan"),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_a_good_signature_is_over_is_checked(case: str) -> None:
    changes, check, says = TOLD[case]
    chain = own_chain()
    want = snp.wanted_of(snp.own_parsed())
    assert refusals(own_report(), chain, want, at=AT, roots=roots(chain)) == ()
    found = refusals(own_report(changes), chain, want, at=AT, roots=roots(chain))
    assert check in {each.check for each in found}
    assert says in " | ".join(map(str, found))
    assert "signature" not in {each.check for each in found}
    assert "chain" not in {each.check for each in found}


def test_a_guest_that_the_host_can_read_is_refused_though_it_was_launched_so() -> None:
    chain, raw = own_chain(), own_report({0x008: (0xB0000).to_bytes(8, "little")})
    want = snp.wanted_of(parse(raw))
    assert want.policy == 0xB0000
    assert want.policy & attest.DEBUG
    assert checks(raw, chain, want, roots=roots(chain)) == {"policy"}


def test_the_first_report_of_a_guest_has_any_id() -> None:
    assert refusals(real_report(), real_chain(), wanted(report_id=None), at=AT) == ()


@pytest.mark.parametrize("processor", [Processor.MILAN, Processor.GENOA])
def test_a_report_of_version_2_is_of_milan_or_genoa(processor: Processor) -> None:
    chain = own_chain()
    want = snp.wanted_of(snp.own_parsed())
    assert checks(own_report(), chain, want, roots=roots(chain, processor)) == set()
    assert checks(own_report(), chain, want, roots=roots(chain, Processor.TURIN)) == {"processor"}


@pytest.mark.parametrize(
    ("family", "model", "processor"),
    [
        (0x19, 0x00, Processor.MILAN),
        (0x19, 0x0F, Processor.MILAN),
        (0x19, 0x10, Processor.GENOA),
        (0x19, 0x1F, Processor.GENOA),
        (0x19, 0xA0, Processor.GENOA),
        (0x19, 0xAF, Processor.GENOA),
        (0x1A, 0x00, Processor.TURIN),
        (0x1A, 0x11, Processor.TURIN),
    ],
)
def test_a_processor_is_told_by_family_and_model(
    family: int, model: int, processor: Processor
) -> None:
    report = snp.own_parsed({0x000: b"\5", 0x188: bytes([family, model])})
    assert report.processor is processor


@pytest.mark.parametrize(("family", "model"), [(0x19, 0x20), (0x19, 0x9F), (0x19, 0xB0),
                                               (0x1A, 0x12), (0x17, 0x31)])  # fmt: skip
def test_another_processor_is_refused(family: int, model: int) -> None:
    with pytest.raises(ConfigError, match="no processor known"):
        snp.own_parsed({0x000: b"\3", 0x188: bytes([family, model])})


def test_a_tcb_of_turin_has_other_bytes() -> None:
    tcb = snp.own_parsed({0x000: b"\3", 0x188: b"\x1a\2", 0x180: bytes(range(1, 9))}).reported_tcb
    assert tcb == Tcb(fmc=1, bootloader=2, tee=3, snp=4, microcode=8)
    assert str(tcb) == "fmc 1, bootloader 2, tee 3, snp 4, microcode 8"


def test_a_report_of_turin_is_believed_under_its_root() -> None:
    extensions = snp.numbers(fmc=1, bootloader=2, tee=3, snp=4, microcode=200)[:-1]
    chain = own_chain(vcek_extensions=(*extensions, ("4", b"\x55" * 8)))
    raw = own_report(
        {0x180: bytes([1, 2, 3, 4, 0, 0, 0, 200]), 0x1A0: (b"\x55" * 8).ljust(64, b"\0")}
    )
    trusted = roots(chain, Processor.TURIN)
    assert refusals(raw, chain, snp.wanted_of(parse(raw)), at=AT, roots=trusted) == ()
    assert checks(raw, chain, snp.wanted_of(parse(raw)), roots=roots(chain)) == {"processor"}


def test_report_data_binds_key_and_nonce_apart() -> None:
    bound = binding(b"key", b"nonce")
    assert len(bound) == 64
    assert bound == binding(b"key", b"nonce")
    assert (
        len({bound, binding(b"keyn", b"once"), binding(b"key", b"nonse"), binding(b"", b"")}) == 4
    )
