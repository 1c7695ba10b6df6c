"""SAM2's memory attention, with the work that does not depend on the slice done once.

Three exact rearrangements of ``sam2.modeling.memory_attention`` (equal to rounding, see the parity
tests):

* **Folded values.** One head attends over 64-channel memories that are projected to 256 channels.
  Since ``softmax(QK') (M Wv' + b) = (softmax(QK') M) Wv' + b`` (the weights of a row sum to one), the
  sum runs over 64 channels.
* **Kept keys.** The key projection and the rotary encoding are linear, so a memory's keys are its own
  part, made once when it is remembered, plus a constant for its age.
* **Explicit products.** On a CPU a plain bfloat16 matrix product is twice as fast as torch's fused
  attention; a GPU keeps the fused kernel.

Shapes: ``n`` objects, ``t`` tokens of the slice, ``m`` tokens of memory, 256 channels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def rotary_tables(attention: Any, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns cos and sin ``[tokens, channels / 2]`` of an axial rotary position encoding."""
    side = math.isqrt(tokens)
    angles = attention.compute_cis(end_x=side, end_y=side)
    return angles.real.contiguous(), angles.imag.contiguous()


def rotate(values: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns each pair of channels of ``[..., tokens, channels]`` by its token's angles."""
    even, odd = values.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2)


@dataclasses.dataclass(eq=False)
class MemoryTokens:
    """One remembered slice, ready to be attended to.

    Args:
        values: ``[n, t, 64]``.
        keys: for each layer ``[n, t, 256]``, without the part for the memory's age; None until used.
    """

    values: torch.Tensor
    keys: list[torch.Tensor] | None = None


def join_tokens(parts: Sequence[MemoryTokens]) -> MemoryTokens:
    """Puts several objects' memories of one slice into one batch."""
    values = torch.cat([part.values for part in parts])
    kept = [part.keys for part in parts if part.keys is not None]
    if len(kept) < len(parts):
        return MemoryTokens(values)
    return MemoryTokens(values, [torch.cat(layer) for layer in zip(*kept, strict=True)])


class MemoryAttention:
    """Runs the four layers of a ``sam2`` memory attention module.

    Args:
        module: the stock module; its weights are copied in ``dtype``.
        age_encoding: learned encoding of a memory's age ``[ages, 64]``.
        position: sine encoding of the memory's tokens ``[t, 64]``.
        dtype: number format of the products; sums and norms stay float32.
    """

    def __init__(
        self,
        module: Any,
        age_encoding: torch.Tensor,
        position: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._layers = [_Layer(layer, dtype) for layer in module.layers]
        self._norm = module.norm
        self._add_position = bool(module.pos_enc_at_input)
        self._dtype = dtype
        self._position = position
        self._cos, self._sin = (
            table.to(position.device)
            for table in rotary_tables(module.layers[0].cross_attn_image, position.shape[0])
        )
        self._age_keys = [
            [
                self._rotated(F.linear(age.to(layer.key.weight), layer.key.weight))
                for age in age_encoding
            ]
            for layer in self._layers
        ]

    def remember(self, values: torch.Tensor) -> MemoryTokens:
        """Makes the tokens of a memory ``[n, t, 64]``."""
        return MemoryTokens(values.to(self._dtype).contiguous())

    def __call__(
        self,
        slice_tokens: torch.Tensor,
        slice_position: torch.Tensor,
        memories: Sequence[tuple[MemoryTokens, int]],
        pointers: torch.Tensor,
        pointer_position: torch.Tensor,
    ) -> torch.Tensor:
        """Conditions a slice on memories.

        Args:
            slice_tokens: ``[n, t, 256]`` float32.
            slice_position: ``[t, 256]``.
            memories: each with the row of the age encoding that applies to it.
            pointers: object pointers cut into 64 channels, ``[n, p, 64]``; p may be 0.
            pointer_position: their encoding, broadcastable to ``pointers``.

        Returns:
            ``[n, t, 256]`` float32.
        """
        values = torch.cat(
            [memory.values for memory, _ in memories] + [pointers.to(self._dtype)], dim=1
        )
        output = slice_tokens
        if self._add_position:
            output = output + 0.1 * slice_position
        for depth, layer in enumerate(self._layers):
            keys = self._keys(depth, memories, pointers + pointer_position, values.shape[:2])
            output = output + layer.attend_self(output, self._cos, self._sin)
            output = output + layer.attend_memory(output, keys, values, self._cos, self._sin)
            output = output + layer.feed_forward(output)
        normed: torch.Tensor = self._norm(output)
        return normed

    def _keys(
        self,
        depth: int,
        memories: Sequence[tuple[MemoryTokens, int]],
        pointer_tokens: torch.Tensor,
        shape: Sequence[int],
    ) -> torch.Tensor:
        key = self._layers[depth].key
        keys = pointer_tokens.new_empty((*shape, key.out_features), dtype=self._dtype)
        tokens = self._position.shape[0]
        for place, (memory, age) in enumerate(memories):
            part = keys[:, place * tokens : (place + 1) * tokens]
            torch.add(self._own_keys(memory)[depth], self._age_keys[depth][age], out=part)
        keys[:, len(memories) * tokens :] = key(pointer_tokens.to(self._dtype))
        return keys

    def _own_keys(self, memory: MemoryTokens) -> list[torch.Tensor]:
        if memory.keys is None:
            tokens = memory.values + self._position.to(self._dtype)
            memory.keys = [self._rotated(layer.key(tokens)) for layer in self._layers]
        return memory.keys

    def _rotated(self, keys: torch.Tensor) -> torch.Tensor:
        if keys.ndim == 1:
            keys = keys.expand(self._position.shape[0], -1)
        return rotate(keys, self._cos, self._sin).to(self._dtype)


class _Layer:
    """One layer's weights in the computing format."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        own, cross = layer.self_attn, layer.cross_attn_image
        self.norms = (layer.norm1, layer.norm2, layer.norm3)
        self._dtype = dtype
        self.own_query_key_value = _joined([own.q_proj, own.k_proj, own.v_proj], dtype)
        self.own_out = _cast(own.out_proj, dtype)
        self.query, self.key = _cast(cross.q_proj, dtype), _cast(cross.k_proj, dtype)
        self.value, self.out = _cast(cross.v_proj, dtype), _cast(cross.out_proj, dtype)
        self.first, self.second = _cast(layer.linear1, dtype), _cast(layer.linear2, dtype)

    def attend_self(
        self, tokens: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        normed = self.norms[0](tokens).to(self._dtype)
        query, key, value = self.own_query_key_value(normed).chunk(3, dim=-1)
        query, key = (rotate(x, cos, sin).to(self._dtype) for x in (query, key))
        attended: torch.Tensor = self.own_out(attend(query, key, value))
        return attended.float()

    def attend_memory(
        self,
        tokens: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
    ) -> torch.Tensor:
        query = rotate(self.query(self.norms[1](tokens).to(self._dtype)), cos, sin).to(self._dtype)
        if tokens.is_cuda:
            attended = attend(query, keys, self.value(values))
        else:
            attended = self.value(attend(query, keys, values))
        output: torch.Tensor = self.out(attended)
        return output.float()

    def feed_forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.first(self.norms[2](tokens).to(self._dtype))
        output: torch.Tensor = self.second(hidden.relu_())
        return output.float()


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Single-head attention of ``[n, t, c]`` over ``[n, m, c]`` and ``[n, m, d]``."""
    if query.is_cuda:
        return F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
    scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
    return torch.bmm(scores.softmax(dim=-1), value)


def _cast(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    return _joined([linear], dtype)


def _joined(linears: Sequence[nn.Linear], dtype: torch.dtype) -> nn.Linear:
    """One linear map that gives the outputs of several, side by side."""
    weight = torch.cat([linear.weight for linear in linears]).detach().to(dtype)
    bias = torch.cat([linear.bias for linear in linears]).detach().to(dtype)
    joined = nn.Linear(1, 1, device="meta")
    joined.in_features, joined.out_features = weight.shape[1], weight.shape[0]
    joined.weight = nn.Parameter(weight, requires_grad=False)
    joined.bias = nn.Parameter(bias, requires_grad=False)
    return joined
