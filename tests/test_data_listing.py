"""Folders and archives: what is listed, and what is refused unread."""

from __future__ import annotations

import gzip
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawn_data import H, W, photo, png, save, truth

from unetfast.data import open_dataset
from unetfast.data.doctor import inspect
from unetfast.data.labels import read_pair
from unetfast.data.listing import list_files, natural
from unetfast.errors import DatasetError, ImageError


def _zip(path: Path, members: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:  # type: ignore[arg-type]
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _members(prefix: str = "") -> dict[str, bytes]:
    members = {}
    for i in range(4):
        members[f"{prefix}images/{i}.png"] = png(photo(i))
        members[f"{prefix}masks/{i}.png"] = png(truth(i) * 255)
    return members


def test_archives_are_read_in_place(tmp_path: Path) -> None:
    members = {**_members("data/"), "__MACOSX/data/images/._0.png": b"x", "data/.DS_Store": b"x"}
    root = _zip(tmp_path / "set.zip", members)
    found = open_dataset(root)
    assert len(found.samples) == 4
    assert str(found.samples[0].image) == f"{root}!data/images/0.png"
    image, labels = read_pair(found.samples[2], found.encoding, 3)
    np.testing.assert_array_equal(image, photo(2))
    np.testing.assert_array_equal(labels, truth(2))
    assert not [finding for finding in inspect(found) if finding.severity == "error"]
    assert os.listdir(tmp_path) == ["set.zip"]


def test_a_changed_archive_is_read_anew(tmp_path: Path) -> None:
    root = _zip(tmp_path / "set.zip", _members())
    read_pair(open_dataset(root).samples[0], open_dataset(root).encoding, 3)
    _zip(root, _members("new/"))
    os.utime(root, ns=(1, 1))
    found = open_dataset(root)
    np.testing.assert_array_equal(read_pair(found.samples[1], found.encoding, 3)[0], photo(1))


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"]
)
def test_names_that_leave_the_archive_are_refused(name: str, tmp_path: Path) -> None:
    root = _zip(tmp_path / "set.zip", {**_members(), name: b"x"})
    with pytest.raises(DatasetError, match=r"set\.zip: refused: .*would leave the archive"):
        open_dataset(root)


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    root = _zip(tmp_path / "set.zip", _members())
    with zipfile.ZipFile(root, "a") as archive:
        link = zipfile.ZipInfo("images/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link or a device"):
        open_dataset(root)


def test_overlapping_members_are_taken_for_a_bomb(tmp_path: Path) -> None:
    """The directory says a thousand times over that the one member is there (Fifield's zip bomb)."""
    root = _zip(tmp_path / "set.zip", {f"{i:03}.png": b"\0" * 4_000_000 for i in range(3)})
    data = bytearray(root.read_bytes())
    at = data.find(b"PK\x01\x02")
    directory = data[at : data.find(b"PK\x05\x06")]
    one = bytes(directory[: len(directory) // 3])
    entries = b"".join(one.replace(b"000.png", f"{i:03}.png".encode()) for i in range(900))
    end = bytearray(data[data.find(b"PK\x05\x06") :])
    end[8:12] = (900).to_bytes(2, "little") * 2
    end[12:16] = len(entries).to_bytes(4, "little")
    root.write_bytes(bytes(data[:at]) + entries + bytes(end))
    with pytest.raises(DatasetError, match="decompression bomb"):
        open_dataset(root)


def test_encrypted_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    root = _zip(tmp_path / "set.zip", _members())
    data = bytearray(root.read_bytes())
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(bytes(data))
    with pytest.raises(DatasetError, match="encrypted"):
        open_dataset(tmp_path / "locked.zip")
    (tmp_path / "cut.zip").write_bytes(root.read_bytes()[:400])
    with pytest.raises(DatasetError, match=r"cut\.zip: not a whole \.zip archive"):
        open_dataset(tmp_path / "cut.zip")
    data = bytearray(root.read_bytes())
    data[60:90] = b"\xff" * 30
    (tmp_path / "bits.zip").write_bytes(bytes(data))
    found = open_dataset(tmp_path / "bits.zip")
    with pytest.raises(ImageError, match=r"bits\.zip!images/0\.png"):
        read_pair(found.samples[0], found.encoding, 3)


def test_order_is_natural(tmp_path: Path) -> None:
    assert sorted(["b10", "b9", "a2", "a10x", "a2b"], key=natural) == ["a2", "a2b", "a10x", "b9", "b10"]
    for name in ("10.png", "9.png", "1.png"):
        (tmp_path / name).write_bytes(png(np.zeros((H, W), np.uint8)))
    assert list_files(tmp_path).names == ("1.png", "9.png", "10.png")


def test_pipes_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    assert list_files(tmp_path).names == ()
    with pytest.raises(DatasetError, match="not a folder, and not a regular file"):
        list_files(tmp_path / "x.png")
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    with pytest.raises(DatasetError, match=r"a data set is a folder, a \.zip"):
        list_files(tmp_path / "x.rar")


def test_archives_with_backslashes_are_read(tmp_path: Path) -> None:
    """Some tools on Windows write them, against the format's specification."""
    root = tmp_path / "windows.zip"
    with zipfile.ZipFile(root, "w") as archive:
        for name, data in {**_members("data/"), "pairs.csv": b"image,mask\ndata\\images\\0.png,"}.items():
            entry = zipfile.ZipInfo("replaced below, since zipfile writes slashes on Windows")
            entry.filename = name.replace("/", "\\")
            archive.writestr(entry, data)
        entry.filename = "data\\empty\\"
        archive.writestr(entry, b"")
    found = open_dataset(root)
    assert [sample.id for sample in found.samples] == ["0", "1", "2", "3"]
    assert found.samples[1].image.name == "1.png"
    np.testing.assert_array_equal(read_pair(found.samples[1], found.encoding, 3)[0], photo(1))


def test_an_archive_in_an_archive_cannot_be_passed_itself(tmp_path: Path) -> None:
    inner = _zip(tmp_path / "inner.zip", _members())
    with pytest.raises(DatasetError, match=r"pass .*inner\.zip itself"):
        open_dataset(tmp_path)
    outer = _zip(tmp_path / "outer.zip", {"inner.zip": inner.read_bytes()})
    with pytest.raises(DatasetError, match=r"another archive, inner\.zip: unpack it"):
        open_dataset(outer)


def test_pictures_packed_one_by_one_go_by_their_own_names(tmp_path: Path) -> None:
    """STARE as it is downloaded: im0001.ppm.gz, and two observers' labels of it."""
    for i in range(3):
        for folder, end, pixels in (
            ("stare-images", "ppm", photo(i)),
            ("labels-ah", "ah.ppm", truth(i) * 255),
            ("labels-vk", "vk.ppm", truth(i + 5) * 255),
        ):
            plain = save(tmp_path / folder / f"im{i}.{end}", pixels)
            (tmp_path / folder / f"im{i}.{end}.gz").write_bytes(gzip.compress(plain.read_bytes()))
            if i:
                plain.unlink()  # the first is there unpacked, too
    found = open_dataset(tmp_path)
    assert [sample.masks[0].name for sample in found.samples] == [
        "im0.ah.ppm",
        "im1.ah.ppm.gz",
        "im2.ah.ppm.gz",
    ]
    for i, sample in enumerate(found.samples):
        image, labels = read_pair(sample, found.encoding, found.channels)
        np.testing.assert_array_equal(image, photo(i))
        np.testing.assert_array_equal(labels, truth(i))
    (tmp_path / "stare-images/im2.ppm.gz").write_bytes(b"\x1f\x8b\x08 cut off")
    with pytest.raises(ImageError, match=r"im2\.ppm\.gz: damaged, cannot be unpacked"):
        read_pair(found.samples[2], found.encoding, found.channels)
