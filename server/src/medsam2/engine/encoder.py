"""SAM2's image encoder with the work taken out that a stream of grey slices does not need.

The encoder stays the stock module (Hiera, Ryali et al. 2023, arXiv:2306.00989); what changes is that
constants are made once and that a CPU multiplies bfloat16 plainly in its attention.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sam2.modeling.backbones.hieradet import MultiScaleAttention, do_pool
from torch import nn


class _NoPosition(nn.Module):
    """Stands for the position encodings of the encoder's levels, which are constant."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Returns nothing, of the maps' type and place."""
        return maps.new_zeros(0)


def streamline(encoder: Any, reducers: Sequence[nn.Conv2d]) -> None:
    """Rids an image encoder of repeated work, in place.

    The position encodings of its levels are not made at all, for the memory attention keeps its own;
    the position embedding of its trunk is resized from its table once. The two finest levels are wide
    only to be reduced by the mask decoder; both 1x1 convolutions are joined into one.

    Args:
        encoder: with its weights, still in float32.
        reducers: the decoder's convolutions for the finest and the second finest level; afterwards the
            encoder's levels are what they would have given.
    """
    for level, reducer in enumerate(reducers):
        widening = encoder.neck.convs[len(encoder.neck.convs) - 1 - level]
        widening.conv = _composed(widening.conv, reducer)
    encoder.neck.position_encoding = _NoPosition()
    encoder.trunk._get_pos_embed = functools.cache(encoder.trunk._get_pos_embed)
    for module in encoder.modules():
        if isinstance(module, MultiScaleAttention):
            module.forward = functools.partial(_attend, module, module.forward)


def _composed(first: Any, second: Any) -> nn.Conv2d:
    """One 1x1 convolution that equals ``second`` after ``first``."""
    inner, outer = (conv.weight.detach().flatten(1) for conv in (first, second))
    joined: Any = nn.Conv2d(first.in_channels, second.out_channels, 1, device=inner.device)
    bias = torch.zeros(()) if first.bias is None else first.bias.detach()
    with torch.no_grad():
        joined.weight.copy_((outer @ inner)[:, :, None, None])
        joined.bias.copy_(outer @ bias + second.bias.detach())
    composed: nn.Conv2d = joined.requires_grad_(False)
    return composed


def _attend(
    attention: Any, stock: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor
) -> torch.Tensor:
    """Attention within windows ``[n, rows, columns, channels]``, explicit in bfloat16 on a CPU.

    Torch's fused kernel computes bfloat16 no faster than float32 there.
    """
    if tokens.dtype is not torch.bfloat16 or tokens.device.type != "cpu":
        return stock(tokens)
    count, rows, columns, _ = tokens.shape
    heads = attention.num_heads
    joined = attention.qkv(tokens).reshape(count, rows * columns, 3, heads, -1)
    query, key, value = joined.unbind(2)
    if attention.q_pool:
        query = do_pool(query.reshape(count, rows, columns, -1), attention.q_pool)
        rows, columns = query.shape[1:3]
        query = query.reshape(count, rows * columns, heads, -1)
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2)
    output: torch.Tensor = attention.proj(mixed.reshape(count, rows, columns, -1))
    return output
