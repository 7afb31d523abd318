"""Losses: values computed by hand, gradients against finite differences, what is ignored."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unetfast.errors import ConfigError
from unetfast.losses import LOSSES, loss_function
from unetfast.losses.centreline import cldice, soft_skeleton
from unetfast.losses.overlap import dice, lovasz, tversky
from unetfast.losses.pixel import cross_entropy, focal


def _logits(probabilities: list[float]) -> Tensor:
    """One row of pixels, binary, with these foreground probabilities."""
    return torch.tensor(probabilities, dtype=torch.float64).logit().view(1, 1, 1, -1)


def _softmax_logits(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log().T[None, :, None, :]


def _target(ids: list[int]) -> Tensor:
    return torch.tensor(ids, dtype=torch.uint8).view(1, 1, -1)


def test_binary_cross_entropy_by_hand() -> None:
    value = cross_entropy(_logits([0.8, 0.3, 0.9]), _target([1, 0, 255]))
    assert value.item() == pytest.approx(-(math.log(0.8) + math.log(0.7)) / 2)
    weighted = cross_entropy(_logits([0.8, 0.3, 0.9]), _target([1, 0, 255]), torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx(-(3 * math.log(0.8) + math.log(0.7)) / 4)


def test_cross_entropy_by_hand() -> None:
    logits = _softmax_logits([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    assert cross_entropy(logits, _target([1, 0])).item() == pytest.approx(
        -(math.log(0.5) + math.log(0.6)) / 2
    )
    weight = torch.tensor([1.0, 4.0, 1.0])
    value = cross_entropy(logits, _target([1, 0]), weight).item()
    assert value == pytest.approx(-(4 * math.log(0.5) + math.log(0.6)) / 5)
    assert value == pytest.approx(
        torch.nn.functional.cross_entropy(logits, _target([1, 0]).long(), weight.double()).item()
    )


def test_focal_by_hand() -> None:
    value = focal(_logits([0.8, 0.3]), _target([1, 0])).item()
    assert value == pytest.approx(-(0.2**2 * math.log(0.8) + 0.3**2 * math.log(0.7)) / 2)


def test_dice_by_hand() -> None:
    value = dice(_logits([0.8, 0.3, 0.6]), _target([1, 0, 255])).item()
    assert value == pytest.approx(1 - (2 * 0.8 + 1) / (0.8 + 0.3 + 1 + 1))


def test_dice_of_classes_by_hand() -> None:
    value = dice(_softmax_logits([[0.7, 0.3], [0.4, 0.6]]), _target([0, 1])).item()
    first, second = 1 - (2 * 0.7 + 1) / (1.1 + 1 + 1), 1 - (2 * 0.6 + 1) / (0.9 + 1 + 1)
    assert value == pytest.approx((first + second) / 2)


def test_tversky_by_hand() -> None:
    value = tversky(_logits([0.8, 0.3]), _target([1, 0])).item()
    assert value == pytest.approx(1 - (0.8 + 0.5) / (0.8 + 0.3 * 0.3 + 0.7 * 0.2 + 0.5))


def test_lovasz_softmax_by_hand() -> None:
    """Class 0: errors .3 (true), .4 (false), .4 sorts first; Jaccard loss goes 1/2, then 1."""
    logits = _softmax_logits([[0.7, 0.3], [0.4, 0.6]])
    class_0 = 0.4 * 0.5 + 0.3 * 0.5
    class_1 = 0.4 * 1.0 + 0.3 * 0.0
    assert lovasz(logits, _target([0, 1])).item() == pytest.approx((class_0 + class_1) / 2)


def test_lovasz_hinge_by_hand() -> None:
    """Margins 1 - z*s: logit 2 on truth gives -1 (no cost), logit .5 on background gives 1.5."""
    logits = torch.tensor([2.0, 0.5], dtype=torch.float64).view(1, 1, 1, 2)
    assert lovasz(logits, _target([1, 0])).item() == pytest.approx(1.5 * 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_of_certain_answers_is_one_minus_iou(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 3, (2, 6, 7), generator=generator)
    answer = torch.randint(0, 3, (2, 6, 7), generator=generator)
    logits = torch.nn.functional.one_hot(answer, 3).permute(0, 3, 1, 2).double() * 200
    expected = [
        1 - ((truth == c) & (answer == c)).sum().item() / ((truth == c) | (answer == c)).sum().item()
        for c in range(3)
    ]
    assert lovasz(logits, truth).item() == pytest.approx(sum(expected) / 3)


def test_soft_skeleton_of_a_bar_is_its_centre_line() -> None:
    bar = torch.zeros(1, 1, 9, 15)
    bar[..., 3:6, 2:13] = 1
    line = soft_skeleton(bar, 5)[0, 0]
    assert line[4, 3:12].min() == 1
    assert line.sum() <= 13


def test_cldice_by_hand_and_by_meaning() -> None:
    truth = torch.zeros(1, 9, 30, dtype=torch.uint8)
    truth[:, 4, 2:28] = 1
    whole = (truth.double() * 2 - 1).unsqueeze(1) * 50
    broken = whole.clone()
    broken[..., 10:20] = -50
    assert cldice(whole, truth).item() == pytest.approx(0, abs=1e-9)
    # A line is its own skeleton: precision 1, recall (16 + 1) / (26 + 1).
    assert cldice(broken, truth).item() == pytest.approx(1 - 2 * (17 / 27) / (1 + 17 / 27))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str, classes: int) -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, classes, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, max(classes, 2), (2, 5, 4), generator=generator)
    target[0, 0, :2] = 255
    weight = torch.rand(max(classes, 2), generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target, weight), (logits,))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_change_nothing(name: str, classes: int) -> None:
    generator = torch.Generator().manual_seed(5)
    target = torch.randint(0, max(classes, 2), (1, 6, 6), generator=generator).to(torch.uint8)
    target[0, :, 4:] = 255
    logits = torch.randn(1, classes, 6, 6, generator=generator)
    other = logits.clone()
    other[..., 4:] = torch.randn(1, classes, 6, 2, generator=generator)
    loss = LOSSES[name]
    assert loss(logits, target).item() == pytest.approx(loss(other, target).item(), abs=1e-6)
    nothing = torch.full_like(target, 255)
    free = torch.randn(1, classes, 6, 6, generator=generator, requires_grad=True)
    value = loss(free, nothing)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert free.grad is not None
    assert torch.isfinite(free.grad).all()
    assert free.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", [*LOSSES, "bce+dice", "focal+dice+cldice"])
def test_a_right_answer_costs_nothing_and_a_wrong_one_much(name: str) -> None:
    truth = torch.zeros(1, 12, 12, dtype=torch.uint8)
    truth[:, 5:8, 1:11] = 1
    right = (truth.float() * 2 - 1).unsqueeze(1) * 20
    loss = loss_function(name, 2)
    assert loss(right, truth).item() < 1e-3
    assert loss(-right, truth).item() > 0.5


def test_sums_and_names() -> None:
    logits, target = _logits([0.8, 0.3]), _target([1, 0])
    both = loss_function("auto", 2)(logits, target)
    assert both.item() == pytest.approx((cross_entropy(logits, target) + dice(logits, target)).item())
    with pytest.raises(ConfigError, match="did you mean 'focal'"):
        loss_function("focl+dice", 2)
    with pytest.raises(ConfigError, match="use ce"):
        loss_function("bce+dice", 3)
    with pytest.raises(ConfigError, match="class_weights change nothing in loss 'dice\\+lovasz'; add bce"):
        loss_function("dice+lovasz", 2, weighted=True)
    with pytest.raises(ConfigError, match="change nothing in loss 'cldice'; add ce"):
        loss_function("cldice", 3, weighted=True)
    for name, classes in (("dice", 3), ("auto", 2), ("cldice+focal", 3)):
        loss_function(name, classes, weighted=True)
