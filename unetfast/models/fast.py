"""The default network: a U-Net shaped for the milliseconds of a CPU, not for its FLOPs.

What costs time in a classic U-Net on a CPU are the wide layers at full resolution and the
concatenated skips. Here the first layer sees `stem_px` x `stem_px` blocks as channels (no pixel is
thrown away), all convolutions are dense 3x3 (the shape that runtimes run best), the skips are
added, and the last layer writes `stem_px` x `stem_px` logits per position.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Context", "FastNet", "RepConv", "sharpened"]

_FLANK, _DROP = 3.0, 2.0  # chosen on held-back pictures, see docs/default_model.md


class RepConv(nn.Module):
    """A 3x3 convolution trained as the sum of a 3x3, a 1x1 and the identity, then batch norm and ReLU.

    The three are summed as kernels before the one convolution, so that training costs no more
    than a plain layer; :meth:`fused` leaves a single ``nn.Conv2d``.

    Parameters
    ----------
    inside, outside : int
        Channels in and out.
    stride : {1, 2}
    dilation : int

    References
    ----------
    Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021; summed as kernels
    as in Hu et al., "Online Convolutional Re-parameterization", CVPR 2022.
    """

    def __init__(self, inside: int, outside: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.stride, self.dilation = stride, dilation
        self.kernel3 = nn.Parameter(torch.empty(outside, inside, 3, 3))
        self.kernel1 = nn.Parameter(torch.zeros(outside, inside, 1, 1))
        self.norm = nn.BatchNorm2d(outside)
        nn.init.kaiming_normal_(self.kernel3, mode="fan_in", nonlinearity="relu")
        nn.init.normal_(self.kernel1, std=0.5 / inside**0.5)
        identity = torch.zeros(outside, inside, 1, 1)
        if inside == outside and stride == 1:
            identity[range(outside), range(inside)] = 1.0
        self.register_buffer("identity", identity, persistent=False)

    def kernel(self) -> Tensor:
        """Return the summed kernel, (outside, inside, 3, 3)."""
        identity = self.identity
        assert isinstance(identity, Tensor)  # nn.Module types its buffers as Tensor | Module
        return self.kernel3 + functional.pad(self.kernel1 + identity, (1, 1, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inside, H, W) to (N, outside, H / stride, W / stride)."""
        mixed = functional.conv2d(
            features, self.kernel(), stride=self.stride, padding=self.dilation, dilation=self.dilation
        )
        return functional.relu(self.norm(mixed))

    @torch.no_grad()
    def fused(self) -> nn.Sequential:
        """Return the equal ``Conv2d`` + ``ReLU``, with the batch norm's running statistics folded in."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        # float64: the fold must not be what a parity certificate measures.
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        kernel = self.kernel().double() * gain[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * gain
        outside, inside = kernel.shape[:2]
        plain = nn.Conv2d(
            inside, outside, 3, stride=self.stride, padding=self.dilation, dilation=self.dilation
        )
        plain.weight.copy_(kernel)
        plain.bias.copy_(bias)  # type: ignore[union-attr]  # built with a bias
        return nn.Sequential(plain, nn.ReLU()).to(norm.weight.device)


class Context(nn.Module):
    """One level more: what half the resolution says is added to the features.

    It starts as nothing (the last layer is zero), so that it can be given to a network that is trained.

    Parameters
    ----------
    width : int
        Channels of the features.
    inner : int
        Channels at half the resolution.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(RepConv(width, inner, stride=2), RepConv(inner, inner))
        self.widen = nn.Conv2d(inner, width, 1)
        nn.init.zeros_(self.widen.weight)
        assert self.widen.bias is not None
        nn.init.zeros_(self.widen.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape; H and W are even."""
        coarse = self.widen(self.convs(features))
        return features + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


class FastNet(nn.Module):
    """Encoder-decoder of dense 3x3 convolutions with additive skips.

    Parameters
    ----------
    in_channels, out_channels : int
        Image channels and logits per pixel.
    stem_px : {2, 4}
        Side of the pixel blocks that the first and the last layer turn into channels and back.
    widths : sequence of int
        Channels a level, finest first; each level halves the resolution. Multiples of 16 suit
        the blocked layouts of CPU runtimes.
    depths : sequence of int
        Convolutions a level in the encoder after the one that enters it.
    up_depths : sequence of int
        Convolutions a level in the decoder, finest first; one entry fewer than `widths`.
    dilations : sequence of int
        Of the convolutions at the coarsest level; they widen the view at no cost.
    context : int
        Channels of a :class:`Context` after the layer that enters the coarsest level; 0 for none. It sees the
        surroundings at twice the distance for less than a hundredth of the work: what is a crack and what the
        gap between two stones, the surroundings tell.
    views : int
        How often the same layers look at the image, each time at half the size of the time before; each
        further view has half the say of the one before, and the last two have the same. A wide crack between
        coarse stones is a thin one among fine ones at half the size, so what is learnt of those holds for
        both. Only the first view has the context.
    sharpened : bool
        Whether the logits are :func:`sharpened`: for thin structures, which the smaller views draw too wide.

    Attributes
    ----------
    stride_px : int
        H and W must be multiples of it.
    halo_px : int
        Pixels beyond a region aligned to ``stride_px`` that the region's logits may depend on.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stem_px: int = 4,
        widths: Sequence[int] = (48, 64, 80),
        depths: Sequence[int] = (1, 1, 3),
        up_depths: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 2, 1),
        context: int = 0,
        views: int = 1,
        sharpened: bool = False,
    ) -> None:
        super().__init__()
        if not len(widths) == len(depths) == len(up_depths) + 1 or len(dilations) != depths[-1]:
            raise ValueError(
                "widths and depths need one entry a level, up_depths one fewer, dilations one a "
                f"convolution of the last level; got {widths}, {depths}, {up_depths}, {dilations}"
            )
        if views < 1:
            raise ValueError(f"views must be 1 or more; got {views}")
        self.stem_px = stem_px
        self.views, self.sharpened = views, sharpened
        self.stride_px: int = stem_px * 2 ** (len(widths) - 1) * max(2 if context else 1, 2 ** (views - 1))
        self.blocks: nn.Module = nn.PixelUnshuffle(stem_px)
        self.down = nn.ModuleList()
        inside = in_channels * stem_px**2
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            spread = dilations if level == len(widths) - 1 else [1] * depth
            convs: list[nn.Module] = [RepConv(inside, width, stride=1 if level == 0 else 2)]
            if context and level == len(widths) - 1:
                convs.append(Context(width, context))
            convs += [RepConv(width, width, dilation=d) for d in spread]
            self.down.append(nn.Sequential(*convs))
            inside = width
        # 1x1 before the enlargement: a quarter of the work, and the same result.
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            nn.Sequential(*(RepConv(width, width) for _ in range(depth)))
            for width, depth in zip(widths, up_depths, strict=False)
        )
        self.head = nn.Conv2d(widths[0], out_channels * stem_px**2, 3, padding=1)
        self.register_buffer("doubling", _doubling(stem_px).repeat(out_channels, 1, 1, 1), persistent=False)
        self.halo_px = self._halo(depths, up_depths, dilations, bool(context))

    def _halo(
        self, depths: Sequence[int], up_depths: Sequence[int], dilations: Sequence[int], context: bool
    ) -> int:
        """Follow the longest way back from the head to the pixels; see tests for the measured one."""
        reach = self.stem_px + sum(up_depths[0:1]) * self.stem_px  # head, finest decoder level
        for level, depth in enumerate(depths):
            step = self.stem_px * 2**level
            reach += step * (sum(dilations) if level == len(depths) - 1 else depth)
            # The stride-2 layer that enters a level reads one finer position to the left.
            reach += step if level == 0 else step // 2
            if 0 < level < len(up_depths):
                reach += step * up_depths[level]
        coarsest = self.stem_px * 2 ** (len(depths) - 1)
        smaller = reach  # of the smallest view
        for _ in range(self.views - 1):
            # Twice as far at half the size; an edge is interpolated from the coarsest position beyond it.
            smaller = 2 * (smaller + coarsest)
        if context:  # its stride-2 layer, and one more at half the coarsest resolution
            reach += 3 * coarsest
        reach = max(reach, smaller) + (2 * self.stem_px - 1 if self.sharpened else 0)
        # Whole strides, because read windows start on multiples of the stride.
        return -(-reach // self.stride_px) * self.stride_px

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) normalised float images to (N, K, H, W) float logits."""
        blocks = self._seen(images, self.views, with_context=True)
        blocks = sharpened(blocks, self.stem_px) if self.sharpened else blocks
        return functional.pixel_shuffle(blocks, self.stem_px)

    def _seen(self, images: Tensor, views: int, *, with_context: bool) -> Tensor:
        """Return the mean of the logits of this view and of what the smaller ones come to, in blocks.

        In blocks, (N, K * stem_px**2, H / stem_px, W / stem_px), because runtimes pass quickly over many
        channels and slowly over one.
        """
        blocks = self._view(images, with_context=with_context)
        if views == 1:
            return blocks
        # At one half, bilinear is the mean of 2x2 pixels; a pool takes onnxruntime four times as long.
        half = functional.interpolate(images, scale_factor=0.5, mode="bilinear", align_corners=False)
        return (blocks + self._doubled(self._seen(half, views - 1, with_context=False))) / 2

    def _doubled(self, blocks: Tensor) -> Tensor:
        """Enlarge a map in blocks to twice its size, bilinearly: one convolution writes the blocks."""
        small = functional.pixel_shuffle(blocks, self.stem_px)
        kernel = self.get_buffer("doubling").to(small.dtype)
        return functional.conv2d(
            functional.pad(small, (1, 1, 1, 1), mode="replicate"),
            kernel,
            stride=self.stem_px // 2,
            groups=small.shape[1],
        )

    def _view(self, images: Tensor, *, with_context: bool) -> Tensor:
        features = self.blocks(images)
        skips: list[Tensor] = []
        for level in self.down:
            assert isinstance(level, nn.Sequential)
            for layer in level:
                if with_context or not isinstance(layer, Context):
                    features = layer(features)
            skips.append(features)
        skips.pop()
        for narrow, up in zip(reversed(self.narrow), reversed(self.up), strict=True):
            enlarged = functional.interpolate(narrow(features), scale_factor=2.0, mode="nearest")
            features = up(enlarged + skips.pop())
        blocks: Tensor = self.head(features)
        return blocks

    def fused(self) -> FastNet:
        """Return an equal network, in eval mode, whose every layer is one convolution."""
        plain = copy.deepcopy(self).eval()
        if isinstance(self.blocks, nn.Identity):  # it is one already
            return plain
        for stage in list(plain.modules()):
            for name, layer in list(stage.named_children()):
                if isinstance(layer, RepConv):
                    stage.register_module(name, layer.fused())
        entry = plain.down[0].get_submodule("0")
        entry.register_module("0", _on_pixels(entry.get_submodule("0"), self.stem_px))
        plain.blocks = nn.Identity()
        return plain

    @torch.no_grad()
    def load_fused(self, state: Mapping[str, Tensor], images: Tensor) -> None:
        """Take up weights that :meth:`fused` made, so that they can be trained on.

        Afterwards the network computes, in eval mode, what the fused one does.

        Parameters
        ----------
        state : mapping of str to Tensor
            The fused network's ``state_dict()``.
        images : (N, C, H, W) float32
            Normalised; the batch norms, which were folded away, take the statistics of these.

        Raises
        ------
        KeyError, RuntimeError
            When the weights are of another network.
        """
        self.eval()
        settling = []
        for name, layer in self.named_modules():
            if isinstance(layer, RepConv):
                kernel = state[f"{name}.0.weight"]
                if kernel.shape[-1] != 3:
                    kernel = _on_blocks(kernel, self.stem_px)
                layer.kernel1.zero_()
                layer.kernel3.copy_(kernel - functional.pad(layer.get_buffer("identity"), (1, 1, 1, 1)))
                settle = _settling(state[f"{name}.0.bias"])
                settling.append(layer.norm.register_forward_pre_hook(settle))
            elif isinstance(layer, nn.Conv2d):
                layer.load_state_dict({part: state[f"{name}.{part}"] for part in ("weight", "bias")})
        self(images)  # each layer sees what the fused network shows it, for those before are settled
        for hook in settling:
            hook.remove()


def sharpened(blocks: Tensor, block_px: int) -> Tensor:
    """Take the flanks of what is sure down, and leave alone what is not.

    A sure crack is marked wider than it is: its flanks lie far below its ridge, and still above a threshold
    that finds the unsure ones. So what a pixel lies below the highest logit near it beyond `_FLANK` is taken
    off it `_DROP` times more.

    Parameters
    ----------
    blocks : (N, K * block_px**2, H / block_px, W / block_px) float
        Logits, of which each position holds those of a block of pixels.
    block_px : int

    Returns
    -------
    Tensor
        Of the same shape, nowhere higher; near is what lies in the pixel's own block or in one beside it.
    """
    cells = torch.unflatten(blocks, 1, (-1, block_px**2))
    ridge = functional.max_pool2d(cells.amax(2), 3, stride=1, padding=1)
    return (cells - _DROP * functional.relu(ridge[:, :, None] - _FLANK - cells)).flatten(1, 2)


def _doubling(block_px: int) -> Tensor:
    """Give the kernel, (block_px**2, 1, side, side), that enlarges the middle of `side` pixels to a block."""
    weights = torch.zeros(block_px, block_px // 2 + 2)
    for pixel in range(block_px):  # three quarters of the pixel it lies in, a quarter of the nearer neighbour
        weights[pixel, 1 + pixel // 2] = 0.75
        weights[pixel, 2 * (pixel % 2) + pixel // 2] = 0.25
    return torch.einsum("ya,xb->yxab", weights, weights).flatten(0, 1)[:, None]


def _settling(bias: Tensor) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """Make a hook that gives a batch norm the statistics of its input and leaves of it only `bias`."""

    def settle(norm: nn.Module, args: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(args[0], dim=(0, 2, 3))
        norm.get_buffer("running_mean").copy_(mean)
        norm.get_buffer("running_var").copy_(variance)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(mean + bias)

    return settle


def _on_blocks(kernel: Tensor, block_px: int) -> Tensor:
    """Undo :func:`_on_pixels` for its kernel, (outside, colours, 3 * block_px, 3 * block_px)."""
    outside, colours = kernel.shape[:2]
    parts = kernel.view(outside, colours, 3, block_px, 3, block_px).permute(0, 1, 3, 5, 2, 4)
    return parts.reshape(outside, colours * block_px**2, 3, 3)


@torch.no_grad()
def _on_pixels(conv: nn.Module, block_px: int) -> nn.Conv2d:
    """Turn a 3x3 convolution of pixel blocks into the equal one of pixels, with the block as its stride.

    Runtimes have a fast first convolution, but cut blocks by a transposition in six dimensions,
    which cost a ninth of the whole network.
    """
    assert isinstance(conv, nn.Conv2d)
    outside, inside = conv.weight.shape[:2]
    colours = inside // block_px**2
    # pixel_unshuffle's channel is (colour, y, x in the block)
    kernel = conv.weight.view(outside, colours, block_px, block_px, 3, 3).permute(0, 1, 4, 2, 5, 3)
    plain = nn.Conv2d(colours, outside, 3 * block_px, stride=block_px, padding=block_px)
    plain.weight.copy_(kernel.reshape(outside, colours, 3 * block_px, 3 * block_px))
    assert conv.bias is not None
    assert plain.bias is not None
    plain.bias.copy_(conv.bias)
    return plain.to(conv.weight.device)
