"""A SAM of random weights that is small enough for tests of box chaining."""

from __future__ import annotations

import warnings
from typing import Any, Final

import torch
from torch import nn

from .torchvision_guard import declare_missing_operators

IMAGE_SIZE: Final = 128
"""Side of the square input, in pixels."""
_CHANNELS: Final = 32
_FEATURES: Final = IMAGE_SIZE // 16


def build_tiny_chain(seed: int) -> nn.Module:
    """Builds ``image_encoder``, ``prompt_encoder`` and ``mask_decoder`` as SAM has them.

    The weights depend on the seed alone; the caller's random generator is left as it was. The
    encoder takes ``[B, 3, 128, 128]`` and gives ``[B, 32, 8, 8]``; masks are 32 px wide.
    """
    modules = _modules()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone; a GPU's stays
        model = nn.Module()
        model.image_encoder = modules.ImageEncoderViT(
            img_size=IMAGE_SIZE,
            embed_dim=_CHANNELS,
            depth=2,
            num_heads=2,
            out_chans=_CHANNELS,
            window_size=4,
            global_attn_indexes=(1,),
        )
        model.prompt_encoder = modules.PromptEncoder(
            embed_dim=_CHANNELS,
            image_embedding_size=(_FEATURES, _FEATURES),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        )
        model.mask_decoder = modules.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modules.TwoWayTransformer(
                depth=2, embedding_dim=_CHANNELS, mlp_dim=64, num_heads=2
            ),
            transformer_dim=_CHANNELS,
            iou_head_depth=2,
            iou_head_hidden_dim=_CHANNELS,
        )
    return model.eval()


def _modules() -> Any:
    declare_missing_operators()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from segment_anything import modeling
    return modeling
