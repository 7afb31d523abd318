"""fp16 and bf16 from the checkpoint: batch norm folded in fp32, the body narrowed, some layers kept.

Half precision overflows above 65504 and then a mask is black or white without any error. Layers
whose numbers come near that, and layers whose rounding costs more than the certificate allows, stay
in fp32 and are listed in the certificate.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unetfast.errors import BackendError, ParityError
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec

__all__ = ["DTYPES", "folded", "narrow", "narrowed", "overflowing"]

log = logging.getLogger(__name__)

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}

_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_HEADROOM = 4.0  # images unlike those measured may reach further


def folded(model: nn.Module) -> nn.Module:
    """Return a copy in which every batch norm is folded into its convolution, in fp32.

    Raises
    ------
    BackendError
        When the network can neither fuse itself nor be traced.
    """
    own = getattr(model, "fused", None)
    if own is not None:
        fused: nn.Module = own().eval()
        return fused
    try:
        traced = fx.symbolic_trace(copy.deepcopy(model).eval())
    except Exception as exc:  # torch.fx gives up with many unrelated types
        raise BackendError(f"cannot fold batch norms: torch.fx cannot trace the network: {exc}") from exc
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        before = node.args[0]
        layer = modules.get(str(before.target)) if before.op == "call_module" else None
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) or len(before.users) > 1:
            continue
        parent, _, own_name = str(before.target).rpartition(".")
        transposed = isinstance(layer, nn.ConvTranspose2d)
        setattr(traced.get_submodule(parent), own_name, fuse_conv_bn_eval(layer, norm, transposed))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


class _Typed(nn.Module):
    """A layer that computes in a type of its own, whatever type comes in."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = layer.to(dtype)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.to(self.dtype))
        return y


def narrowed(model: nn.Module, dtype: torch.dtype, keep: Sequence[str] = ()) -> nn.Module:
    """Return a copy of a folded network that computes in `dtype`, but for the layers named in `keep`."""
    copied = copy.deepcopy(model)
    for name, layer in list(copied.named_modules()):
        if isinstance(layer, _LAYERS):
            parent, _, own = name.rpartition(".")
            setattr(
                copied.get_submodule(parent), own, _Typed(layer, torch.float32 if name in keep else dtype)
            )
    return copied.eval()


def _layer_names(model: nn.Module) -> list[str]:
    return [name for name, layer in model.named_modules() if isinstance(layer, _LAYERS)]


@torch.inference_mode()
def overflowing(model: nn.Module, spec: ModelSpec, images: Sequence[Tensor], dtype: torch.dtype) -> list[str]:
    """Name the layers whose inputs or outputs come near the largest number of `dtype`.

    Parameters
    ----------
    model : nn.Module
        Folded, in fp32.
    spec : ModelSpec
    images : sequence of (1, H, W, C) uint8 Tensor
    dtype : torch.dtype
    """
    largest: dict[str, float] = {}
    hooks = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            high = max(float(inputs[0].abs().max()), float(output.abs().max()))
            largest[name] = max(largest.get(name, 0.0), high)

        return note

    for name in _layer_names(model):
        hooks.append(model.get_submodule(name).register_forward_hook(watch(name)))
    try:
        deployable = Deployable(model, spec)
        for image in images:
            deployable.logits(image)
    finally:
        for hook in hooks:
            hook.remove()
    limit = torch.finfo(dtype).max / _HEADROOM
    return [name for name, high in largest.items() if not high <= limit]  # NaN counts as over


def narrow(
    model: nn.Module,
    spec: ModelSpec,
    dtype: torch.dtype,
    images: Sequence[Tensor],
    passes: Callable[[nn.Module], bool],
) -> tuple[nn.Module, list[str]]:
    """Narrow a network and keep in fp32 as many layers as the certificate needs.

    Parameters
    ----------
    model : nn.Module
        In fp32; left as it was.
    spec : ModelSpec
    dtype : torch.dtype
    images : sequence of (1, H, W, C) uint8 Tensor
        What numbers and sensitivities are measured on.
    passes : callable
        Says whether a narrowed network is good enough.

    Returns
    -------
    (nn.Module, list of str)
        The narrowed network, and the layers kept in fp32.

    Raises
    ------
    ParityError
        When only fp32 everywhere would pass.
    """
    base = folded(model)
    keep = overflowing(base, spec, images, dtype)
    if keep:
        log.info("kept in fp32, their numbers come near the largest of %s: %s", dtype, ", ".join(keep))
    if dtype == torch.bfloat16:  # TensorRT has no bf16 deconvolution
        keep += [
            name for name in _layer_names(base) if isinstance(base.get_submodule(name), nn.ConvTranspose2d)
        ]
    names = _layer_names(base)
    ranked: list[str] | None = None
    while True:
        candidate = narrowed(base, dtype, keep)
        if passes(candidate):
            return candidate, keep
        if ranked is None:
            ranked = [name for name in _by_sensitivity(base, spec, dtype, images) if name not in keep]
        if not ranked:
            raise ParityError(f"{dtype} costs too much accuracy even with all {len(names)} layers in fp32")
        step = max(1, len(names) // 8)
        log.info("not accurate enough yet; keeping in fp32 too: %s", ", ".join(ranked[:step]))
        keep, ranked = keep + ranked[:step], ranked[step:]


@torch.inference_mode()
def _by_sensitivity(
    base: nn.Module, spec: ModelSpec, dtype: torch.dtype, images: Sequence[Tensor]
) -> list[str]:
    """Sort layers by how much narrowing each alone moves the logits, the worst first."""
    names = _layer_names(base)
    few = images[:2]
    wanted = [Deployable(base, spec).logits(image) for image in few]
    moved = {}
    for name in names:
        alone = Deployable(narrowed(base, dtype, [other for other in names if other != name]), spec)
        moved[name] = sum(
            float((alone.logits(image) - logits).abs().nan_to_num(1e9, 1e9).mean())
            for image, logits in zip(few, wanted, strict=True)
        )
    return sorted(names, key=lambda name: -moved[name])
