from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unetfast.errors import ConfigError
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec, PreprocessSpec


class Pixelwise(nn.Module):
    """Logits that are a known function of one normalised pixel; refuses sizes off the stride."""

    def __init__(self, weight: Tensor, stride_px: int) -> None:
        super().__init__()
        self.weight, self.stride_px = weight, stride_px

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] % self.stride_px == 0
        assert x.shape[3] % self.stride_px == 0
        return torch.einsum("nchw,kc->nkhw", x, self.weight)


def spec_of(channels: int, classes: int, **changes: object) -> ModelSpec:
    rng = np.random.default_rng(channels)
    pre = PreprocessSpec(
        channels, tuple(rng.uniform(0.2, 0.8, channels)), tuple(rng.uniform(0.1, 0.4, channels))
    )
    return ModelSpec(
        classes=tuple(f"c{i}" for i in range(classes)),
        task="binary" if classes == 2 else "multiclass",
        preprocess=pre,
        stride_px=8,
    ).replace(**changes)


def normalised(images: np.ndarray, spec: ModelSpec) -> np.ndarray:
    pre = spec.preprocess
    return (images / 255.0 - np.array(pre.mean)) / np.array(pre.std)


@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 5]),
    st.sampled_from([2, 4]),
)
def test_computes_the_definition_at_any_size(n: int, h: int, w: int, channels: int, classes: int) -> None:
    rng = np.random.default_rng(h * 41 + w)
    spec = spec_of(channels, classes, threshold=0.3)
    weight = rng.normal(size=(spec.logit_channels, channels)).astype(np.float32)
    images = rng.integers(0, 256, (n, h, w, channels), dtype=np.uint8)
    logits = normalised(images, spec) @ weight.T.astype(np.float64)  # (n, h, w, K)

    model = Pixelwise(torch.from_numpy(weight), spec.stride_px)
    labels = Deployable(model, spec)(torch.from_numpy(images)).numpy()
    prob = Deployable(model, spec.replace(output="prob"))(torch.from_numpy(images)).numpy()

    assert labels.shape == (n, h, w)
    assert labels.dtype == np.uint8
    assert prob.shape == (n, h, w, spec.logit_channels)
    assert prob.dtype == np.float32
    if classes == 2:
        expected = 1 / (1 + np.exp(-logits))
        clear = np.abs(expected[..., 0] - 0.3) > 1e-4
        np.testing.assert_array_equal(labels[clear], (expected[..., 0] > 0.3)[clear])
    else:
        expected = np.exp(logits - logits.max(-1, keepdims=True))
        expected /= expected.sum(-1, keepdims=True)
        first, second = np.sort(logits, axis=-1)[..., -1], np.sort(logits, axis=-1)[..., -2]
        np.testing.assert_array_equal(labels[first - second > 1e-3], logits.argmax(-1)[first - second > 1e-3])
    np.testing.assert_allclose(prob, expected, atol=2e-4)


def test_padding_repeats_the_edge() -> None:
    seen = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x[:, :1]

    spec = spec_of(1, 2)
    image = torch.arange(15, dtype=torch.uint8).reshape(1, 3, 5, 1)
    Deployable(Look(), spec)(image)
    padded = seen[0][0, 0]
    assert padded.shape == (8, 8)
    assert torch.equal(padded[3:], padded[2].expand(5, 8))
    assert torch.equal(padded[:, 5:], padded[:, 4:5].expand(8, 3))


def test_a_size_on_the_stride_is_not_padded() -> None:
    spec = spec_of(1, 2)
    assert Deployable(Pixelwise(torch.ones(1, 1), 8), spec).logits(torch.zeros(1, 8, 16, 1).byte()).shape == (
        1,
        1,
        8,
        16,
    )


def test_a_std_of_zero_is_refused() -> None:
    spec = spec_of(1, 2, preprocess=PreprocessSpec(1, (0.5,), (0.0,)))
    with pytest.raises(ConfigError, match="std must be positive"):
        Deployable(nn.Identity(), spec)
