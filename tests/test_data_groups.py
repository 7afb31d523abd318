"""Patients, films and volumes are told from columns, names and folders, and our own draw never tears them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_data import pairs, photo, save, truth
from hypothesis import given
from hypothesis import strategies as st

from unetfast.data import open_dataset
from unetfast.data.collection import DataSet
from unetfast.data.encoding import LabelEncoding
from unetfast.data.groups import find_groups
from unetfast.data.layouts.found import file_ids
from unetfast.spec import FileRef, Sample


def _samples(names: list[str]) -> list[Sample]:
    ids = file_ids([FileRef(Path("/data") / name) for name in names])
    return [Sample(id_, image) for image, id_ in ids.items()]


@pytest.mark.parametrize(
    ("names", "groups", "one"),
    [
        # as data sets have them: kaggle_3m, the same in one folder, CholecSeg8k, UW-Madison, Synapse, TNBC
        (
            [f"TCGA_CS_{p}_199609/TCGA_CS_{p}_199609_{k}.tif" for p in (4941, 4942, 5393) for k in range(9)],
            3,
            9,
        ),
        ([f"TCGA_CS_{p}_199609_{k}.tif" for p in (4941, 4942, 5393) for k in range(9)], 3, 9),
        ([f"video{v}/video{v}_{c}/frame_{c}.png" for v in ("01", 12, 17) for c in (80, 160, 240)], 3, 3),
        (
            [
                f"case{c}/case{c}_day{d}/scans/slice_{k}.png"
                for c in range(4)
                for d in (0, 9)
                for k in range(5)
            ],
            4,
            10,
        ),
        ([f"case{c:04}_slice{k:03}.npz" for c in (5, 6, 9) for k in range(c)], 3, 5),
        ([f"Slide_{p:02}/{p:02}_{k}.png" for p in range(1, 12) for k in range(5)], 11, 5),
        ([f"sub-{p:02}/anat/sub-{p:02}_T1w_{k}.png" for p in range(1, 5) for k in range(6)], 4, 6),
        ([f"patient_{letter}/{k}.png" for letter in "ABC" for k in range(6)], 3, 6),
        ([f"P{p}_slice{7 * k + p}.png" for p in (3, 4, 12) for k in range(5)], 3, 5),
        (
            [f"{film}_mp4-{k}_jpg.rf.{k:032x}.jpg" for film in ("street", "yard", "hall") for k in range(5)],
            3,
            5,
        ),
        ([f"{film}/frame_{k:04}.jpg" for film in ("bear", "boat", "cows") for k in range(5)], 3, 5),
        ([f"Image_{p:02}{side}.jpg" for p in range(1, 15) for side in "LR"], 14, 2),
        # folders with numbers, of which five are enough; of a diagnosis' two folders those within
        ([f"kos{p:02}/Part{k}.jpg" for p in range(5) for k in range(4)], 5, 4),
        (
            [f"{kind}/{p:03}/{k}.png" for kind in ("benign", "sick") for p in range(9) for k in range(4)],
            18,
            4,
        ),
        # too few; kinds; one image a folder; nothing but numbers and dates
        ([f"day{d}/images/{k}.png" for d in (1, 2) for k in range(20)], 0, 0),
        ([f"patient{p}/{k}.png" for p in (1, 2) for k in range(20)], 0, 0),
        ([f"day{d}/{k}.png" for d in range(5) for k in range(3 if d else 40)], 0, 0),
        ([f"{kind}/{k:03}.png" for kind in ("crack", "cut", "hole", "ink", "scab") for k in range(9)], 0, 0),
        ([f"Class{kind}/{k:03}.png" for kind in range(9) for k in range(9)], 0, 0),
        ([f"{p:08x}/images/{p:08x}.png" for p in range(40)], 0, 0),
        ([f"{split}/images/slice_{k}.png" for split in ("train", "test", "extra") for k in range(9)], 0, 0),
        ([f"frame_{k:04}.png" for k in range(40)], 0, 0),
        ([f"case_{k:04}.png" for k in range(40)], 0, 0),
        ([f"covid_{k // 9}_{k}.png" for k in range(18)], 0, 0),
        ([f"slide_x{x}_y{y}.png" for x in range(3) for y in range(3)], 0, 0),
        ([*(f"a{p}{side}.png" for p in range(3) for side in "LR"), *(f"b{k}.png" for k in range(30))], 0, 0),
        ([f"IMG_2016022{k}_08101{k}.jpg" for k in range(9)], 0, 0),
    ],
)
def test_who_belongs_together_by_the_names(names: list[str], groups: int, one: int) -> None:
    found, said = find_groups(_samples(names))
    assert len(found) == groups
    assert min(map(len, found.values()), default=0) == one
    assert all("stay together" in text for text in said) or not groups


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            [f"day{d}/{k}.png" for d in (1, 2) for k in range(9)],
            r"^folders day1, day2 are too few .*mask,split\)",
        ),
        (
            [f"{d}/{k}.png" for d in ("cut", "hole", "ink") for k in range(9)],
            r"taken for kinds.*mask,patient\)",
        ),
        (
            [f"patient{p}_{k}.png" for p in (3, 4) for k in range(9)],
            r"2 patients.*\(patient3, patient4\), too few",
        ),
        (
            [f"case{p}_{k}.png" for p in range(3) for k in range(9)],
            r"^names tell 3 patients.* case0: .*mask,split",
        ),
    ],
)
def test_what_is_decided_is_said_once_with_the_way_out(names: list[str], says: str) -> None:
    _, said = find_groups(_samples(names))
    assert len(said) == 1
    assert re.search(says, said[0])


def test_folders_of_kinds_are_no_photos() -> None:
    """Their names and the images' make ids that read as tiles of five photos."""
    assert find_groups(_samples([f"Class{kind}/{k}.png" for kind in range(6) for k in range(9)]))[0] == {}
    tiles = [f"Class{kind}/x{p}_{y}_0.png" for kind in range(2) for p in range(9) for y in (0, 64)]
    assert len(find_groups(_samples(tiles))[0]) == 18


def _data(samples: list[Sample]) -> DataSet:
    groups, _ = find_groups(samples)
    encoding = LabelEncoding("grey", "exact", (), 0, ("background", "x"))
    return DataSet(samples, encoding, encoding.classes, 3, "paired", Path("/data"), groups=groups)


_LAYOUTS: dict[str, Callable[[int, int], str]] = {
    "a folder a patient": lambda p, k: f"patient_{p:03}/{k}.png",
    "a name a patient": lambda p, k: f"images/patient{p:03}_{k}.png",
    "slices": lambda p, k: f"p{p}_slice_{k}.png",
    "a column": lambda p, k: f"{p * 7919 + k * 104729:09}.png",
}


@given(
    st.sampled_from(sorted(_LAYOUTS)),
    st.lists(st.integers(1, 9), min_size=3, max_size=12).filter(lambda sizes: max(sizes) > 1),
    st.floats(0.05, 0.5),
    st.integers(0, 3),
)
def test_no_patient_is_on_both_sides(layout: str, sizes: list[int], fraction: float, seed: int) -> None:
    patients = {_LAYOUTS[layout](p, k): f"patient={p}" for p, size in enumerate(sizes) for k in range(size)}
    samples = [
        Sample(
            s.id,
            s.image,
            group=patients[str(s.image.path.relative_to("/data"))] if "column" in layout else None,
        )
        for s in _samples(list(patients))
    ]
    sides = [
        {patients[str(sample.image.path.relative_to("/data"))] for sample in side}
        for side in _data(samples).split(fraction, seed)
    ]
    assert all(sides)
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("last", [4, 1])  # all patients are tied; or all but one with a single image
def test_twins_do_not_tie_all_patients_into_one(last: int, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"patient{p}_{k}.png" for p in range(6) for k in range(5 if p < 5 else last)]
    chain = [(f"patient{p}_4", f"patient{p + 1}_0") for p in range(5 if last > 1 else 4)]
    with caplog.at_level(logging.WARNING):
        train, val = _data(_samples(names)).keeping(chain).split(0.2, 0)
    assert 4 <= len(val) <= 6
    assert not {sample.id[:8] for sample in train} & {sample.id[:8] for sample in val}
    assert "near twins tie nearly all" in caplog.text
    assert "show the same" not in caplog.text


def _patients(root: Path, head: str, rows: list[tuple[str, ...]]) -> DataSet:
    pairs(root, len(rows))
    lines = [f"images/{i}.jpg,masks/{i}.png,{','.join(row)}" for i, row in enumerate(rows)]
    (root / "list.csv").write_text("\n".join([f"image,mask,{head}", *lines]))
    return open_dataset(root)


def test_a_column_names_the_patient(tmp_path: Path) -> None:
    found = _patients(tmp_path, "Patient ID", [(who,) for who in [*"abcabcab??", "", ""]])
    assert {name: len(ids) for name, ids in found.groups.items()} == {
        "Patient ID=a": 3,
        "Patient ID=b": 3,
        "Patient ID=c": 2,
    }
    assert "images of the same Patient ID stay together" in dict(found.decisions)["split"]
    assert {s.id: s.group for s in found.samples}["8"] is None


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        ("patient", True),
        ("PatientID", True),
        ("subject_id", True),
        ("case", True),
        ("case_id", True),
        ("group", True),
        ("specimen", True),
        ("slide_id", True),
        ("VideoName", True),
        ("StudyInstanceUID", True),
        ("animal_id", True),
        ("animal", False),  # a species
        ("sequence", False),  # T1, T2, FLAIR
        ("lesion", False),
        ("patient_age", False),
        ("scanner", False),
    ],
)
def test_which_heads_name_whom_an_image_shows(head: str, taken: bool, tmp_path: Path) -> None:
    assert bool(_patients(tmp_path, head, [(who,) for who in "abcabcab"]).groups) is taken


def test_columns_that_tell_no_groups(tmp_path: Path) -> None:
    each = _patients(tmp_path / "each", "case_id", [(who,) for who in "abcdefgh"])
    assert not each.groups
    assert "split" not in dict(each.decisions)
    arms = _patients(tmp_path / "arms", "group", [(who,) for who in "abababab"])
    assert not arms.groups
    assert "group tells 2 groups apart, too few" in dict(arms.decisions)["split"]
    both = _patients(tmp_path / "both", "slide,patient", [(str(i // 2), str(i // 4)) for i in range(12)])
    assert len(both.groups) == 3
    assert all(name.startswith("patient=") for name in both.groups)
    slides = _patients(
        tmp_path / "slides", "slide_id,case_id", [(str(i // 2), str(i // 4)) for i in range(12)]
    )
    assert all(name.startswith("case_id=") for name in slides.groups)
    flag = _patients(tmp_path / "flag", "case,slide_id", [(str(i % 2), str(i // 4)) for i in range(12)])
    assert all(name.startswith("slide_id=") for name in flag.groups)
    assert flag.groups
    rows = [f"images/{i}.jpg,masks/{i}.png,{group}" for i in range(8) for group in ("cell", "nucleus", i % 3)]
    (tmp_path / "each/list.csv").write_text(
        "\n".join(["image,mask,group", *rows])
    )  # of the masks, not the images
    assert not open_dataset(tmp_path / "each").groups


_HAM = "lesion_id,image_id,dx,age,localization"


@pytest.mark.parametrize(
    ("name", "head", "row", "group"),
    [
        ("HAM10000_metadata.csv", _HAM, "HAM_{g:07},ISIC_{k:07},nv,45.0,back", "lesion_id=HAM_0000001"),
        ("HAM10000_metadata", _HAM, "HAM_{g:07},ISIC_{k:07},nv,45.0,back", "lesion_id=HAM_0000001"),
        # of a lesion's patient, who has others, where both are told; names with endings and folders
        ("isic/metadata.csv", "isic_id,lesion_id,patient_id", "ISIC_{k:07},IL_{k},IP_{g}", "patient_id=IP_1"),
        ("labels.csv", "Image Index;Patient ID", "ISIC_{k:07}.JPG;{g}", "Patient ID=1"),
        ("all.tsv", "\tpath\tsubject", "{k}\tphotos/ISIC_{k:07}.jpg\ts{g}", "subject=s1"),
    ],
)
def test_a_table_beside_the_images_names_the_patient(
    name: str, head: str, row: str, group: str, tmp_path: Path
) -> None:
    root = pairs(tmp_path, 12, "images/ISIC_{:07}.jpg", "masks/ISIC_{:07}_segmentation.png")
    (root / name).parent.mkdir(exist_ok=True)
    others = [row.format(k=k, g=k) for k in range(900, 990)]  # a table of more than is here
    (root / name).write_text("\n".join([head, *(row.format(k=k, g=k // 3) for k in range(12)), *others]))
    found = open_dataset(root)
    assert found.groups[group] == ("ISIC_0000003", "ISIC_0000004", "ISIC_0000005")
    assert sorted(map(len, found.groups.values())) == [3, 3, 3, 3]
    column = group.partition("=")[0]
    said = [text for topic, text in found.decisions if topic == "files"]
    assert f"{name} tells the {column} of 12 of 12 images" in said
    assert f"images of the same {column} stay together" in dict(found.decisions)["split"]


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("row,patient", "{k},{g}"),  # numbers of what, nobody knows
        ("image,patient", "x{k},{g}"),  # of other images
        ("image,scanner", "{k},{g}"),
        ("image,patient", "{k},{arm}"),
        ("image,patient", "{k},{k}"),
        ("patient,age", "{k},{g}"),  # the images' names are the patients'
    ],
)
def test_tables_beside_the_images_that_tell_nobody(head: str, row: str, tmp_path: Path) -> None:
    root = pairs(tmp_path, 12)
    rows = [row.format(k=k, g=k // 3, arm=k % 2) for k in range(12)]
    (root / "metadata.csv").write_text("\n".join([head, *rows]))
    assert not open_dataset(root).groups


def test_a_table_of_pairs_says_whom_before_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "ages.csv").write_text("\n".join(["image,case", *(f"{k},{k // 2}" for k in range(12))]))
    found = _patients(tmp_path, "patient", [(str(k // 4),) for k in range(12)])
    assert sorted(found.groups) == ["patient=0", "patient=1", "patient=2"]


def test_pages_of_a_volume_belong_together(tmp_path: Path) -> None:
    for p in range(5):  # called by numbers, which only folders may be
        for what, draw in (("", photo), ("_masks", truth)):
            path = tmp_path / f"stacks/b{p}{what}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, np.stack([draw(10 * p + k) for k in range(4)]))
    assert [len(ids) for ids in open_dataset(tmp_path / "stacks").groups.values()] == [4] * 5
    (tmp_path / "packed").mkdir()
    for p in range(3):
        np.savez(
            tmp_path / f"packed/volume_{p}.npz",
            images=np.stack([photo(10 * p + k) for k in range(4)]),
            masks=np.stack([truth(k) for k in range(4)]),
        )
    assert {name: len(ids) for name, ids in open_dataset(tmp_path / "packed").groups.items()} == {
        f"volume_{p}": 4 for p in range(3)
    }


def test_folders_of_patients_with_their_masks_beside(tmp_path: Path) -> None:
    for p in range(4):
        for k in range(3):
            save(
                tmp_path / f"kaggle_3m/TCGA_CS_494{p}_199609/TCGA_CS_494{p}_199609_{k}.tif", photo(9 * p + k)
            )
            save(
                tmp_path / f"kaggle_3m/TCGA_CS_494{p}_199609/TCGA_CS_494{p}_199609_{k}_mask.tif",
                truth(k) * 255,
            )
    found = open_dataset(tmp_path)
    assert sorted(found.groups) == [f"TCGA_CS_494{p}" for p in range(4)]
    train, val = ({sample.id[:12] for sample in side} for side in found.split(0.25, 1))
    assert len(val) == 1
    assert not train & val


def test_given_splits_are_left_alone_and_no_draw_is_spoken_of(tmp_path: Path) -> None:
    for split, patients in (("train", range(3)), ("val", range(3, 5))):
        for p in patients:
            pairs(tmp_path, 3, f"{split}/images/patient{p}_{{}}.png", f"{split}/masks/patient{p}_{{}}.png")
    found = open_dataset(tmp_path)
    assert "split" not in dict(found.decisions)
    assert [len(side) for side in found.split(0.5, 0)] == [9, 6]
