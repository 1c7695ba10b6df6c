"""The parts of a SAM2 model, called one by one on single slices.

Wraps a stock ``sam2.modeling.sam2_base.SAM2Base`` (Ravi et al. 2024, arXiv:2408.00714): the image
encoder and the memory attention run in the device's fast number format, the small rest in float32.
Coordinates here are the model's own: pixels of its square input.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_utils import get_1d_sine_pe

from .attention import MemoryAttention, MemoryTokens
from .device import Compute
from .encoder import streamline
from .features import Features

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """The mask decoder's answer for ``n`` objects on one slice.

    Args:
        logits: ``[n, 1, s, s]`` float32, s a quarter of the input's side.
        pointer: object pointers ``[n, 256]``.
        presence: logits of the object being there ``[n, 1]``.
        quality: the predicted intersection over union of the chosen mask ``[n]``.
    """

    logits: torch.Tensor
    pointer: torch.Tensor
    presence: torch.Tensor
    quality: torch.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
    """What is remembered of one object on one slice.

    Args:
        index: the slice.
        tokens: its spatial memory.
        pointer: its object pointer ``[n, 256]``.
    """

    index: int
    tokens: MemoryTokens
    pointer: torch.Tensor


class SAM2Model:
    """A SAM2 model on a device.

    Args:
        module: the stock model in evaluation mode; its image encoder is converted in place.
        compute: device and number format.
    """

    def __init__(self, module: Any, compute: Compute) -> None:
        self.module: Any = module.to(compute.device)
        self.compute = compute
        self.size: int = module.image_size
        self._grid = self.size // module.backbone_stride
        self.memories: int = module.num_maskmem - 1
        self.pointers: int = module.max_obj_ptrs_in_encoder
        encoder, decoder = module.image_encoder, module.sam_mask_decoder
        neck_position = encoder.neck.position_encoding
        streamline(encoder, [decoder.conv_s0, decoder.conv_s1])
        encoder.to(dtype=compute.dtype, memory_format=torch.channels_last)
        prompts = module.sam_prompt_encoder
        prompts.get_dense_pe = functools.cache(prompts.get_dense_pe)
        self._mean = torch.tensor(IMAGE_MEAN, device=compute.device).view(3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=compute.device).view(3, 1, 1)
        with torch.inference_mode():
            blank = torch.zeros(1, module.hidden_dim, self._grid, self._grid, device=compute.device)
            self._position = _tokens(neck_position(blank)).float()[0]
            memory_blank = blank[:, : module.mem_dim]
            memory_position = _tokens(module.memory_encoder.position_encoding(memory_blank))[0]
            self.attention = MemoryAttention(
                module.memory_attention,
                module.maskmem_tpos_enc[:, 0, 0],
                memory_position.float(),
                compute.dtype,
            )

    def encode(self, images: torch.Tensor) -> list[Features]:
        """Encodes images ``[n, 1 or 3, size, size]`` in 0..1 into three levels each.

        Levels are ``[c, 4g, 4g]``, ``[c, 2g, 2g]`` and ``[256, g, g]`` in the computing format.
        """
        module, dtype = self.module, self.compute.dtype
        pixels = (images.to(self.compute.device) - self._mean) / self._std
        levels = module.image_encoder(pixels.to(dtype=dtype, memory_format=torch.channels_last))[
            "backbone_fpn"
        ]
        levels = [level.to(dtype) for level in levels[:3]]
        return [tuple(level[n].contiguous() for level in levels) for n in range(len(images))]

    def decode(
        self,
        features: Features,
        conditioned: torch.Tensor | None,
        points: tuple[torch.Tensor, torch.Tensor] | None = None,
        *,
        first_look: bool = False,
        previous: torch.Tensor | None = None,
    ) -> Decoded:
        """Runs prompt encoder and mask decoder.

        Args:
            features: of the slice.
            conditioned: ``[n, 256, g, g]`` from :meth:`recall`; None stands for no memory.
            points: coordinates ``[n, p, 2]`` as (x, y) and labels ``[n, p]`` (1 inside, 0 outside,
                2 and 3 a box's corners).
            first_look: whether the prompts alone, not memory, determine the slice.
            previous: logits ``[n, 1, s, s]`` that the points correct.
        """
        module = self.module
        coarse = self._without_memory(features) if conditioned is None else conditioned
        inputs = (
            None
            if points is None
            else dict(zip(("point_coords", "point_labels"), points, strict=True))
        )
        _, _, qualities, logits, _, pointer, presence = module._forward_sam_heads(
            backbone_features=coarse,
            point_inputs=inputs,
            mask_inputs=previous,
            high_res_features=self._fine(features, coarse.shape[0]),
            multimask_output=module._use_multimask(first_look, inputs),
        )
        return Decoded(logits, pointer, presence, qualities.max(dim=-1).values)

    def accept(self, features: Features, mask: torch.Tensor) -> Decoded:
        """Takes a user's mask ``[1, 1, size, size]`` as the answer; only its pointer is computed."""
        coarse = features[2].float()[None]
        _, _, quality, logits, _, pointer, presence = self.module._use_mask_as_output(
            coarse, self._fine(features, 1), mask.to(self.compute.device)
        )
        return Decoded(logits, pointer, presence, quality[:, 0])

    def remember(
        self, index: int, features: Features, decoded: Decoded, *, prompted: bool
    ) -> Memory:
        """Encodes a slice and its mask as memory; masks of prompted slices are made binary."""
        module, count = self.module, decoded.logits.shape[0]
        large = F.interpolate(
            decoded.logits, size=(self.size, self.size), mode="bilinear", align_corners=False
        )
        tokens = features[2].float().flatten(1).T[:, None].expand(-1, count, -1)
        spatial, _ = module._encode_new_memory(
            current_vision_feats=[tokens],
            feat_sizes=[(self._grid, self._grid)],
            pred_masks_high_res=large,
            object_score_logits=decoded.presence,
            is_mask_from_pts=prompted,
        )
        # The stock predictor keeps memories in bfloat16; so do we, for the same masks.
        values = _tokens(spatial.to(torch.bfloat16).float())
        return Memory(index, self.attention.remember(values), decoded.pointer)

    def recall(
        self,
        features: Features,
        spatial: Sequence[tuple[MemoryTokens, int]],
        pointers: Sequence[tuple[torch.Tensor, int]],
        span: int,
    ) -> torch.Tensor:
        """Conditions a slice on memories, ``[n, 256, g, g]``.

        Args:
            features: of the slice.
            spatial: memories with their row of the age encoding.
            pointers: object pointers ``[n, 256]`` with their signed distance in slices.
            span: distance that counts as one in the pointers' encoding.
        """
        module = self.module
        count = spatial[0][0].values.shape[0]
        channels, cut = module.hidden_dim, module.mem_dim
        position = torch.zeros(0, cut, device=self.compute.device)
        tokens = torch.zeros(count, 0, cut, device=self.compute.device)
        if pointers:
            distance = torch.tensor([d for _, d in pointers], device=self.compute.device) / span
            encoded = module.obj_ptr_tpos_proj(get_1d_sine_pe(distance, dim=channels))
            position = torch.repeat_interleave(encoded, channels // cut, dim=0)
            tokens = torch.stack([p for p, _ in pointers], dim=1).reshape(count, -1, cut)
        slice_tokens = features[2].float().flatten(1).T[None].expand(count, -1, -1)
        output: torch.Tensor = self.attention(
            slice_tokens, self._position, spatial, tokens, position
        )
        return output.transpose(1, 2).reshape(count, channels, self._grid, self._grid)

    def _without_memory(self, features: Features) -> torch.Tensor:
        coarse = features[2].float()[None]
        embedding: torch.Tensor = self.module.no_mem_embed
        return coarse + embedding[0, 0, :, None, None]

    @staticmethod
    def _fine(features: Features, count: int) -> list[torch.Tensor]:
        return [level.float()[None].expand(count, -1, -1, -1) for level in features[:2]]


def _tokens(maps: torch.Tensor) -> torch.Tensor:
    """Turns maps ``[n, c, g, g]`` into tokens ``[n, g * g, c]``."""
    return maps.flatten(2).transpose(1, 2)
