# SPDX-License-Identifier: Apache-2.0
"""A file whose digest is known comes whole, from mirrors that break, lie and forget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.build.download import Wanted, fetch
from lab.errors import GoneError, InfraError, OfflineError
from tests.support.http_mirror import Mirror, locked, serving

PATH = "pool/main/l/linux/linux-image_7.3.4-1~bpo13+1_amd64.deb"
CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def mirrors() -> Iterator[tuple[Mirror, Mirror]]:
    with ExitStack() as stack:
        a, b = (stack.enter_context(serving(Mirror({PATH: CONTENT}))) for _ in range(2))
        yield a, b


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def get(file: Path, *mirrors: Mirror | str) -> int:
    """Fetch it, and return how many bytes came."""
    package, came = locked(PATH, CONTENT), list[int]()
    wanted = Wanted(what="linux-image 7.3.4", path=PATH, size=package.size, sha256=package.sha256)
    fetch(wanted, [m if isinstance(m, str) else m.url for m in mirrors], file, came.append)
    assert file.read_bytes() == CONTENT
    return sum(came)


def test_a_file_comes_whole_and_its_name_is_quoted(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    mirrors[0].files = {PATH.replace("+", "%2B"): CONTENT}
    assert get(file, mirrors[0]) == len(CONTENT)
    assert mirrors[0].asked == [("/" + PATH.replace("+", "%2B"), "")]


@pytest.fixture(autouse=True)
def plain_names(mirrors: tuple[Mirror, Mirror]) -> None:
    for mirror in mirrors:
        mirror.files = {PATH.replace("+", "%2B"): CONTENT}


def test_a_download_that_was_interrupted_goes_on(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    file.write_bytes(CONTENT[:1000])
    assert get(file, mirrors[0]) == len(CONTENT) - 1000
    assert [asked for _, asked in mirrors[0].asked] == ["bytes=1000-"]


def test_a_connection_that_breaks_is_made_anew_and_goes_on(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    mirrors[0].cut = 300_000
    assert get(file, mirrors[0]) == len(CONTENT)
    assert [asked for _, asked in mirrors[0].asked] == [
        "", "bytes=300000-", "bytes=600000-", "bytes=900000-"
    ]  # fmt: skip


def test_a_mirror_without_ranges_begins_anew(file: Path, mirrors: tuple[Mirror, Mirror]) -> None:
    mirrors[0].ranges = False
    file.write_bytes(CONTENT[:1000])
    assert get(file, mirrors[0]) == len(CONTENT)


def test_a_mirror_that_always_ends_early_is_left_for_the_next(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    mirrors[0].ranges, mirrors[0].cut = False, 5000
    get(file, *mirrors)
    assert mirrors[1].asked[0][1] == "bytes=5000-"


def test_a_wrong_digest_is_an_error_and_then_the_next_mirror(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    wrong = {path: content[:-1] + b"x" for path, content in mirrors[0].files.items()}
    mirrors[0].files = wrong
    get(file, *mirrors)
    assert len(mirrors[0].asked) == 1
    assert mirrors[1].asked[0][1] == ""  # not a byte of the wrong file is kept
    file.unlink()
    with pytest.raises(InfraError) as caught:
        get(file, mirrors[0])
    assert not isinstance(caught.value, GoneError)
    assert f"{mirrors[0].url}/pool" in str(caught.value)
    assert f"expected {locked(PATH, CONTENT).sha256}" in str(caught.value)
    assert "set 'mirror' in lab.toml" in str(caught.value)
    assert not file.exists()


def test_a_beginning_that_was_wrong_is_fetched_anew_from_the_same_mirror(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    file.write_bytes(b"x" * 1000)
    get(file, mirrors[0])
    assert [asked for _, asked in mirrors[0].asked] == ["bytes=1000-", ""]


@pytest.mark.parametrize("rest", [b"", b"more"])
def test_a_file_that_is_whole_and_wrong_is_fetched_anew(
    file: Path, mirrors: tuple[Mirror, Mirror], rest: bytes
) -> None:
    file.write_bytes(b"x" * len(CONTENT) + rest)
    get(file, mirrors[0])


def test_a_file_that_is_there_is_not_asked_for(file: Path, mirrors: tuple[Mirror, Mirror]) -> None:
    file.write_bytes(CONTENT)
    assert get(file, mirrors[0]) == 0
    assert mirrors[0].asked == []


def test_a_version_that_one_mirror_dropped_comes_from_the_next(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    mirrors[0].files.clear()
    get(file, *mirrors)


def test_what_all_mirrors_dropped_is_gone_and_the_remedies_are_named(
    file: Path, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    for mirror in mirrors:
        mirror.files.clear()
    with pytest.raises(GoneError) as caught:
        get(file, *mirrors, f"file://{tmp_path}/nowhere")
    said = str(caught.value)
    assert "linux-image 7.3.4 (SHA-256" in said
    for mirror in mirrors:
        assert f"{mirror.url}/{PATH.replace('+', '%2B')}: 404 Not Found: it has dropped" in said
    assert "lab cache import FILE" in said
    assert "lab lock --update" in said


def test_a_mirror_that_is_ill_is_no_sign_that_a_version_is_gone(
    file: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    mirrors[0].files.clear()
    mirrors[1].status = 503
    with pytest.raises(InfraError, match="503 Service Unavailable") as caught:
        get(file, *mirrors)
    assert not isinstance(caught.value, GoneError)
    assert len(mirrors[1].asked) == 4


def test_a_mirror_that_refuses_is_asked_once(file: Path, mirrors: tuple[Mirror, Mirror]) -> None:
    mirrors[0].status = 403
    get(file, *mirrors)
    assert len(mirrors[0].asked) == 1


def test_nobody_listening_is_said(file: Path) -> None:
    with pytest.raises(InfraError, match=r"http://127\.0\.0\.1:1/pool.*Connection refused"):
        get(file, "http://127.0.0.1:1")


def test_offline_no_mirror_is_asked(
    file: Path, mirrors: tuple[Mirror, Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"downloading linux-image 7\.3\.4 needs the network"):
        get(file, *mirrors)
    assert mirrors[0].asked == mirrors[1].asked == []
    monkeypatch.setenv("LAB_OFFLINE", "0")
    get(file, *mirrors)


def test_a_mirror_on_this_disk_is_no_network(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "1")
    there = tmp_path / "debian" / PATH
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    get(file, f"file://{tmp_path}/debian")
