"""What the doctor finds, and ``unetfast check``."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_data import H, W, pairs, photo, save, truth
from PIL import Image

from unetfast.data import open_dataset
from unetfast.data.class_shares import class_shares
from unetfast.data.doctor import Finding, inspect, refuse_errors
from unetfast.data.lookalikes import fingerprint, lookalikes
from unetfast.errors import DatasetError

Run = Callable[..., subprocess.CompletedProcess[str]]


def _findings(root: Path, **options: object) -> dict[str, Finding]:
    found = inspect(open_dataset(root, skip_unmatched=True, **options))  # type: ignore[arg-type]
    return {f"{finding.severity} {finding.topic}": finding for finding in found}


def test_nothing_is_wrong_with_a_good_set(tmp_path: Path) -> None:
    assert _findings(pairs(tmp_path, 10)) == {}


def test_unmatched_files(tmp_path: Path) -> None:
    pairs(tmp_path, 10)
    save(tmp_path / "images/lonely.jpg", photo(50))
    finding = _findings(tmp_path)["error unmatched"]
    assert finding.files == ("images/lonely.jpg",)
    found = open_dataset(tmp_path, skip_unmatched=True)
    assert [f.severity for f in inspect(found, skip_unmatched=True)] == ["warning"]
    with pytest.raises(DatasetError, match=r"unmatched: 1 images have no mask .*lonely"):
        refuse_errors(found, inspect(found))


def test_images_for_testing_alone(tmp_path: Path) -> None:
    pairs(tmp_path, 4, "test/{}.png", "ground_truth/{}_mask.png")
    save(tmp_path / "train/unmarked/0.png", photo(9))
    (error,) = [finding for key, finding in _findings(tmp_path).items() if key.startswith("error")]
    assert "all 4 images with masks belong to validation or test by their names" in str(error)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    pairs(tmp_path, 10)
    (tmp_path / "images/3.jpg").write_bytes(b"no picture")
    (tmp_path / "masks/4.png").write_bytes((tmp_path / "masks/4.png").read_bytes()[:60])
    errors = [f for f in inspect(open_dataset(tmp_path)) if f.severity == "error"]
    assert {Path(str(f).split(":")[0]).name for f in errors} == {"3.jpg", "4.png"}


def test_many_unreadable_files_are_counted(tmp_path: Path) -> None:
    pairs(tmp_path, 10)
    for i in range(10):
        (tmp_path / f"images/{i}.jpg").write_bytes(b"no picture")
    found = [str(f) for f in inspect(open_dataset(tmp_path)) if f.severity == "error"]
    assert len(found) == 6
    assert "10 files in all cannot be read" in found


def test_single_inverted_masks(tmp_path: Path) -> None:
    pairs(tmp_path, 10)
    for i in range(10):
        save(tmp_path / f"masks/{i}.png", cv2.line(np.zeros((H, W), np.uint8), (3, i), (60, 40), 255, 2))
    assert "warning inverted masks" not in _findings(tmp_path)
    save(tmp_path / "masks/3.png", 255 - cv2.line(np.zeros((H, W), np.uint8), (3, 3), (60, 40), 255, 2))
    (found,) = _findings(tmp_path)["warning inverted masks"].files
    assert found.startswith("3 (9")


def test_sizes(tmp_path: Path) -> None:
    pairs(tmp_path, 10)
    save(tmp_path / "masks/1.png", truth(1, H + 1, W) * 255)
    save(tmp_path / "masks/2.png", truth(2, H // 2, W // 2) * 255)
    save(tmp_path / "masks/3.png", truth(3, H + 7, W) * 255)
    save(tmp_path / "masks/4.png", truth(4, W, H) * 255)
    found = [f for f in inspect(open_dataset(tmp_path)) if f.topic == "sizes"]
    assert [(f.severity, [name.partition(" ")[0] for name in f.files]) for f in found] == [
        ("error", ["4"]),
        ("error", ["3"]),
        ("warning", ["1"]),
        ("note", ["2"]),
    ]
    assert "stored as (W, H)" in found[0].text
    assert f"{W}x{H + 7} on {W}x{H}" in found[1].files[0]


def test_sixteen_bits_of_which_few_are_used(tmp_path: Path) -> None:
    """Twelve-bit cameras, and a thermal one, whose range is narrow but not low."""
    for name, scale, offset in (("dim", 5, 0), ("warm", 4, 29315), ("full", 257, 0)):
        for i in range(10):
            pixels = photo(i)[:, :, 0].astype(np.uint16) * scale + offset
            save(tmp_path / name / f"images/{i}.png", pixels)
            save(tmp_path / name / f"masks/{i}.png", truth(i) * 255)
    assert re.search(
        r"10 of 10 .* of \d+ to 1\d\d\d, each", str(_findings(tmp_path / "dim")["warning 16 bit"])
    )
    assert "warning 16 bit" in _findings(tmp_path / "warm")
    assert _findings(tmp_path / "full") == {}
    # For a model the doctor is not asked, and it takes the images as they are.
    as_model = open_dataset(tmp_path / "full").encoding
    told = {name: open_dataset(tmp_path / name, encoding=as_model).decisions for name in ("dim", "full")}
    assert "the network, which takes 8 bits, sees little of so few" in dict(told["dim"])["images"]
    assert "images" not in dict(told["full"])


def test_orientation_that_cannot_be_told(tmp_path: Path) -> None:
    pairs(tmp_path, 10)
    exif = Image.Exif()
    exif[0x0112] = 3
    save(tmp_path / "images/1.jpg", photo(1), exif=exif)
    assert _findings(tmp_path)["warning orientation"].files == ("1",)


def test_copies_and_leakage(tmp_path: Path) -> None:
    for split, numbers in {"train": range(8), "test": range(20, 24)}.items():
        for i in numbers:
            save(tmp_path / f"{split}/images/{i}.png", photo(i, 96, 128))
            save(tmp_path / f"{split}/masks/{i}.png", truth(i, 96, 128) * 255)
    assert _findings(tmp_path) == {}
    save(tmp_path / "test/images/20.png", photo(1, 96, 128))
    save(tmp_path / "train/images/3.png", photo(2, 96, 128))
    darker = (photo(5, 96, 128) * 0.9 + 5).astype(np.uint8)
    smaller = cv2.resize(darker, (64, 48), interpolation=cv2.INTER_AREA)
    save(tmp_path / "test/images/21.png", smaller)
    save(tmp_path / "test/masks/21.png", truth(21) * 255)
    found = inspect(open_dataset(tmp_path))
    assert {(f.topic, f.files) for f in found} == {
        ("leakage", ("test/20 = train/1",)),
        ("copies", ("train/2 = train/3",)),
        ("leakage", ("test/21 = train/5",)),
    }
    assert {f.severity for f in found} == {"warning"}


def test_a_patient_on_both_sides_of_a_given_split(tmp_path: Path) -> None:
    one = pairs(tmp_path / "table", 12)
    rows = [
        f"images/{i}.jpg,masks/{i}.png,{i // 3},{'val' if i in (1, 6, 7, 8) else 'train'}" for i in range(12)
    ]
    (one / "list.csv").write_text("\n".join(["image,mask,patient_id,split", *rows]))
    finding = _findings(one)["warning leakage"]
    assert finding.files == ("patient_id=0 (train/0 and val/1)",)
    assert "1 patients, films or photos, as the table says" in finding.text
    two = tmp_path / "folders"
    for split, patients in {"train": (1, 2, 3), "test": (3, 4)}.items():
        for p in patients:
            for i in (0, 1):
                save(two / f"{split}/images/P{p}_slice{i + 2 * (split == 'test')}.png", photo(10 * p + i))
                save(two / f"{split}/masks/P{p}_slice{i + 2 * (split == 'test')}.png", truth(i) * 255)
    (finding,) = (f for f in inspect(open_dataset(two)) if f.topic == "leakage" and "patients" in f.text)
    assert finding.files == ("P3 (train/P3_slice0 and test/P3_slice2)",)
    assert "unless numbers begin anew" in finding.text


def test_tables_of_two_splits_with_one_patient(tmp_path: Path) -> None:
    pairs(tmp_path, 9)
    for name, numbers in (("train", range(6)), ("val", range(6, 9))):  # in val.csv no patient comes twice
        rows = [f"images/{i}.jpg,masks/{i}.png,{i % 3}" for i in numbers]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,mask,patient", *rows]))
    assert len(_findings(tmp_path)["warning leakage"].files) == 3


def test_lists_that_tear_folders(tmp_path: Path) -> None:
    for folders, torn in ((4, 0), (6, 6)):  # four numbered folders may be anything
        for list_, image in (("train", "a"), ("val", "b")):
            pairs(tmp_path, folders, f"images/v{{}}/{image}.jpg", f"masks/v{{}}/{image}.png")
            lines = [f"images/v{i}/{image}.jpg masks/v{i}/{image}.png\n" for i in range(folders)]
            (tmp_path / f"{list_}.txt").write_text("".join(lines))
        found = [f for f in inspect(open_dataset(tmp_path)) if "patients" in f.text]
        assert [len(finding.files) for finding in found] == [torn] * bool(torn)


def test_blank_slices_neither_leak_nor_tie_patients_together(tmp_path: Path) -> None:
    for p in range(4):
        for i in range(3):
            save(tmp_path / f"images/patient{p}_{i}.png", photo(3 * p + i) * (i > 0))
            save(tmp_path / f"masks/patient{p}_{i}.png", truth(i) * 255 * (i > 0))
    copies = _findings(tmp_path)["warning copies"]
    assert copies.files == ("patient0_0 = patient1_0 = patient2_0 = patient3_0",)
    assert not copies.together
    (tmp_path / "train.txt").write_text("patient0_0\npatient0_1\npatient0_2\n")
    (tmp_path / "val.txt").write_text("patient1_0\npatient1_1\npatient1_2\n")
    assert "warning leakage" not in _findings(tmp_path)


def test_lookalikes_within_a_set_without_a_split(tmp_path: Path) -> None:
    pairs(tmp_path, 10, images="images/{}.png")
    save(tmp_path / "images/7.png", np.minimum(photo(4).astype(int) + 9, 255).astype(np.uint8))
    finding = _findings(tmp_path)["note lookalikes"]
    assert finding.files == ("4 = 7",)
    assert "stay together" in finding.text
    found = open_dataset(tmp_path).keeping(finding.together)
    for seed in range(20):
        sides = [{sample.id for sample in side} & {"4", "7"} for side in found.split(0.3, seed)]
        assert set() in sides


def test_lookalikes_are_few_among_noise_and_flat_pictures(rng: np.random.Generator) -> None:
    noise = [fingerprint(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(60)]
    flat = [fingerprint(np.full((64, 64, 1), grey, np.uint8)) for grey in range(60)]
    assert lookalikes([*noise, *flat, None]) == []


def test_empty_full_and_rare(tmp_path: Path) -> None:
    pairs(tmp_path, 12)
    for i in range(5):
        save(tmp_path / f"masks/{i}.png", truth(i) * 0)
    save(tmp_path / "masks/5.png", np.full((H, W), 255, np.uint8))
    found = _findings(tmp_path)
    assert len(found["note empty masks"].files) == 5
    assert found["warning full masks"].files == ("5",)
    for i in range(12):
        mask = np.zeros((H, W), np.uint8)
        mask[i, 0] = 255 * (i > 8)
        save(tmp_path / f"masks/{i}.png", mask)
    found = _findings(tmp_path)
    assert len(found["warning empty masks"].files) == 9
    assert found["warning imbalance"].files == ("foreground (0.008%)",)


def test_classes_that_only_the_test_has(tmp_path: Path) -> None:
    for i in range(9):
        split = "train" if i < 6 else "test"
        save(tmp_path / f"{split}/images/{i}.png", photo(i))
        save(tmp_path / f"{split}/masks/{i}.png", truth(i, classes=3 if i < 6 else 4))
    found = _findings(tmp_path)
    assert found["warning classes"].files == ("class_3",)
    assert found["warning few images"].files == ()


def test_values_that_a_models_encoding_does_not_know(tmp_path: Path) -> None:
    pairs(tmp_path, 10, images="images/{}.png")
    for i in range(10):
        save(tmp_path / f"masks/{i}.png", truth(i, classes=4))
    found = open_dataset(tmp_path)
    odd = truth(2, classes=4)
    odd[0, 0] = 77
    save(tmp_path / "masks/2.png", odd)
    again = open_dataset(tmp_path, mask_values=["0=background,1=a,2=b,3=c,77=ignore"])
    assert inspect(again) == []
    from dataclasses import replace

    finding = inspect(replace(again, encoding=found.encoding))[0]
    assert (finding.severity, finding.topic, finding.files) == ("error", "mask values", ("2",))
    assert "--mask-values 77=ignore" in finding.text


def test_class_shares_count_every_pixel(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    shares = class_shares(open_dataset(tmp_path))
    expected = np.mean([truth(i).mean() for i in range(4)])
    assert shares[1].share == pytest.approx(expected)
    assert (shares[1].name, shares[1].images) == ("foreground", 4)


def test_check_prints_and_draws(tmp_path: Path, unetfast_command: Run) -> None:
    root = pairs(tmp_path / "data", 9)
    page = tmp_path / "page.html"
    done = unetfast_command("check", root, "-o", page)
    assert done.returncode == 0, done.stderr
    assert "paired" in done.stdout
    assert "0 is background, 255 is foreground" in " ".join(done.stdout.replace("│", " ").split())
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 9
    assert "foreground" in text
    save(root / "images/<b>lone.jpg", photo(50))
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    done = unetfast_command("check", root, "-o", page)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("1 error; training would refuse it")
    assert "&lt;b&gt;lone.jpg" in page.read_text(encoding="utf-8")
    assert unetfast_command("check", root, "--skip-unmatched", "-o", page).returncode == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_check_refuses_what_cannot_be_split(tmp_path: Path, unetfast_command: Run) -> None:
    root = pairs(tmp_path / "data", 1)
    done = unetfast_command("check", root, "--samples", 0, cwd=tmp_path)
    assert done.returncode == 1
    assert "too few samples (1) to split" in " ".join(done.stdout.replace("│", " ").split())


def test_check_refuses_in_one_line(tmp_path: Path, unetfast_command: Run) -> None:
    root = pairs(tmp_path / "data", 4)
    for i in range(4):
        mask = truth(i)
        mask[0] = 255
        save(root / f"masks/{i}.png", mask)
    done = unetfast_command("check", root, "-o", tmp_path / "page.html")
    assert done.returncode == 1
    assert done.stderr.startswith(f"unetfast: {root}: the masks can be read in more than one way")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_outlines_whose_inside_is_background_are_pointed_out(tmp_path: Path) -> None:
    """HC18 draws an ellipse around the head; cracks that enclose a piece of road are no such thing."""
    for i in range(5):
        for name in ("heads", "cracks", "filled"):
            save(tmp_path / f"{name}/images/{i}.png", photo(i))
        ellipse = np.zeros((H, W), np.uint8)
        cv2.ellipse(ellipse, (30, 24), (20 + i, 15), 10, 0, 360, 255, 1)
        save(tmp_path / f"heads/masks/{i}.png", ellipse)
        cv2.line(ellipse, (30, 9), (30, 39), 255, 1)
        save(tmp_path / f"cracks/masks/{i}.png", ellipse)
        save(tmp_path / f"filled/masks/{i}.png", truth(i) * 255)
    said = {
        name: [finding for finding in inspect(open_dataset(tmp_path / name)) if finding.topic == "unfilled"]
        for name in ("heads", "cracks", "filled")
    }
    assert "5 of 5 masks draw a closed line" in str(said["heads"][0])
    assert said["heads"][0].severity == "warning"
    assert not said["cracks"]
    assert not said["filled"]
