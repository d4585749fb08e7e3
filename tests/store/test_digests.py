import hashlib
import json
import os
from pathlib import Path

import pytest

from ftspec.store.digests import DigestCache


def write(path: Path, content: bytes, age_s: int = 100) -> None:
    path.write_bytes(content)
    old = path.stat().st_mtime_ns - age_s * 10**9
    os.utime(path, ns=(old, old))


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_remembers_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    write(file, b"one")
    assert DigestCache(tmp_path / "cache").sha256(file) == sha(b"one")

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(hashlib, "file_digest", never)
    assert DigestCache(tmp_path / "cache").sha256(file) == sha(b"one")


def test_same_size_and_new_time_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    write(file, b"one")
    cache = DigestCache(tmp_path / "cache")
    cache.sha256(file)
    write(file, b"two", age_s=50)
    assert cache.sha256(file) == sha(b"two")


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    ahead = file.stat().st_mtime_ns + 10**12
    os.utime(file, ns=(ahead, ahead))
    DigestCache(tmp_path / "cache").sha256(file)
    assert not (tmp_path / "cache" / "digests.json").exists()


def test_block_saves_once_and_merges(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, name.encode())
    folder = tmp_path / "cache"
    with DigestCache(folder) as first, DigestCache(folder) as second:
        first.sha256(tmp_path / "a")
        second.sha256(tmp_path / "b")
        assert not folder.exists()
    assert len(json.loads((folder / "digests.json").read_text())["files"]) == 2
    assert [path.name for path in folder.iterdir()] == ["digests.json"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1, "files": {"x": [1, 2]}}', '{"version": 9}'])
def test_damaged_cache_costs_only_time(tmp_path: Path, text: str) -> None:
    (tmp_path / "digests.json").write_text(text)
    write(tmp_path / "a", b"one")
    assert DigestCache(tmp_path).sha256(tmp_path / "a") == sha(b"one")


def test_no_folder(tmp_path: Path) -> None:
    write(tmp_path / "a", b"one")
    assert DigestCache(None).sha256(tmp_path / "a") == sha(b"one")
    with pytest.raises(OSError, match="nothing"):
        DigestCache(None).sha256(tmp_path / "nothing")
