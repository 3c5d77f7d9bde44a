# SPDX-License-Identifier: Apache-2.0
"""Ids that are close to a misspelt one, whole or in a part."""

from __future__ import annotations

import pytest

from lab.config.close_ids import close_ids

IDS = (
    "x86_64-tcg-stock-linux-qemu-none",
    "x86_64-tcg-stock-linux-qemu-vmm_kill",
    "x86_64-tcg-stock-linux-labvmm-vmm_kill",
    "arm64-tcg-stock-nvhe-linux-qemu-kexec",
)


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("x86_64-tcg-stok-linux-qemu-vmm_kill", IDS[1]),
        ("vmm_kil", IDS[1]),
        ("kexce", IDS[3]),
        ("labvm", IDS[2]),
    ],
)
def test_the_closest_id_comes_first(word: str, first: str) -> None:
    assert close_ids(word, IDS)[0] == first


def test_what_is_close_to_nothing_names_nothing() -> None:
    assert close_ids("nonsense", IDS) == []  # "none" is a part
    assert close_ids("zzz", IDS) == []


def test_no_more_ids_than_asked_for() -> None:
    assert len(close_ids("vmm_kil", IDS, 1)) == 1
