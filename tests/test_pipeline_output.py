"""Where results go, and where they must not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

import pytest

from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline.output import Output, not_results, refuse_overlap
from unetfast.pipeline.run import check_places
from unetfast.pipeline.sources import Found, Skipped, find

# -- output


def test_temporaries_of_the_dead_are_removed_those_of_the_living_are_not(tmp_path: Path) -> None:
    with Output(tmp_path) as living:
        (living.temp / "half.tmp").write_bytes(b"half")
        dead = tmp_path / ".unetfast-tmp-host-1-aa"
        dead.mkdir()
        (dead / "lock").write_bytes(b"")
        (dead / "half.tmp").write_bytes(b"half")
        killed_before_it_was_locked = tmp_path / ".unetfast-tmp-host-2-bb"
        killed_before_it_was_locked.mkdir()
        with Output(tmp_path) as second:
            assert not dead.exists()
            assert not killed_before_it_was_locked.exists()
            assert (living.temp / "half.tmp").exists()
            assert second.temp != living.temp
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_run_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unetfast.pipeline import output as module

    real, calls = module.lock_file, 0

    def lock_file(file: BinaryIO) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:  # between our opening and our locking it
            shutil.rmtree(Path(file.name).parent)
        return real(file)

    monkeypatch.setattr(module, "lock_file", lock_file)
    with Output(tmp_path) as output:
        assert calls == 2
        assert (output.temp / "lock").exists()


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with Output(tmp_path / "out") as output:
        with pytest.raises(ImageError, match="leads out"):
            output.put("sub/a.jpg", b"x")
        assert output.put("fine/a.jpg", b"xy") == 2
        assert output.size("fine/a.jpg") == 2
        assert output.size("none") is None
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_output_must_not_lie_in_the_input(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    source = str(tmp_path / "in")
    for output in ("in", "in/sub", "in/new", "alias", "alias/new"):
        with pytest.raises(ConfigError, match="input folder"):
            refuse_overlap(str(tmp_path / output), source)
    refuse_overlap(str(tmp_path / "input2"), source)
    refuse_overlap(str(tmp_path / "in" / "new"), source, inside=False)
    with pytest.raises(ConfigError, match="is the input"):
        refuse_overlap(source, source, inside=False)


def test_the_input_must_not_lie_in_the_output(tmp_path: Path) -> None:
    (tmp_path / "w" / "p").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "w")
    for output in ("w", "alias", "."):
        for inside in (True, False):
            with pytest.raises(ConfigError, match="lies inside the output folder"):
                refuse_overlap(str(tmp_path / output), str(tmp_path / "w" / "p"), inside=inside)


def test_beside_the_folders_that_are_named_is_room_for_results(tmp_path: Path) -> None:
    monday, tuesday = tmp_path / "monday", tmp_path / "tuesday"
    for folder in (monday, tuesday):
        folder.mkdir()
        (folder / "p.jpg").touch()
    both = [str(monday), str(tuesday)]
    check_places(both, str(tmp_path / "cleaned"))  # in the folder that both share
    check_places([str(monday / "p.jpg"), str(tuesday)], str(monday / "cleaned"))
    for output in (monday, tuesday / "new", tmp_path):
        with pytest.raises(ConfigError, match="the output folder"):
            check_places(both, str(output))


def test_a_picture_is_no_folder_for_results(tmp_path: Path) -> None:
    photo, output = tmp_path / "p.jpg", tmp_path / "clean.JPG"
    photo.touch()
    with pytest.raises(ConfigError, match=r"run - < photo\.jpg -o "):
        check_places([str(photo)], str(output))
    output.mkdir()  # whoever has such a folder means it
    check_places([str(photo)], str(output))


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://b/p", "s3://b/p/"),
        ("s3://b/p", "s3://b"),
        ("s3://b", "s3://b/p"),
        ("file:///w/p", "/w"),
        ("/w/p", "file:///w/./p"),
    ],
)
def test_urls_must_not_lie_in_each_other_either(source: str, output: str) -> None:
    with pytest.raises(ConfigError, match="the output folder"):
        refuse_overlap(output, source)
    refuse_overlap("s3://b/other", source if source != "s3://b" else "gs://b")


def test_photos_that_links_lead_to_in_the_output_are_skipped(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    for path in (source / "a.jpg", source / "sub" / "b.jpg", output / "c.jpg", tmp_path / "out2" / "d.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (source / "folder").symlink_to(output)
    (source / "beside").symlink_to(tmp_path / "out2")  # a name that only begins like the output's
    (source / "sub" / "photo.jpg").symlink_to(output / "c.jpg")
    (tmp_path / "door").symlink_to(output)
    found = find(source, [source], Found(), recursive=True, follow_links=True)
    skipped = {entry.relative: isinstance(entry, Skipped) for entry in not_results(found, f"{tmp_path}/door")}
    assert skipped == {
        "a.jpg": False,
        "beside/d.jpg": False,
        "folder/c.jpg": True,
        "sub/b.jpg": False,
        "sub/photo.jpg": True,
    }
