"""SAM2 models from the modules of the package ``sam2``, wired in plain Python.

No configuration files are looked up, nothing is imported that needs torchvision, and no compiled
extension is used. The names and shapes of the weights are those of the public checkpoints.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import nn

from .sam2_config import (
    CONFIGS,
    MEDSAM2,
    SAM2_1_BASE_PLUS,
    SAM2_1_LARGE,
    SAM2_1_SMALL,
    SAM2_1_TINY,
    TINY_RANDOM,
    TINY_RANDOM_SEED,
    SAM2Config,
)

__all__ = [
    "CONFIGS",
    "MEDSAM2",
    "SAM2_1_BASE_PLUS",
    "SAM2_1_LARGE",
    "SAM2_1_SMALL",
    "SAM2_1_TINY",
    "TINY_RANDOM",
    "TINY_RANDOM_SEED",
    "SAM2Config",
    "build_sam2",
    "build_stock_predictor",
    "random_weights",
]


def build_sam2(config: SAM2Config) -> nn.Module:
    """Builds a ``sam2.modeling.sam2_base.SAM2Base`` with untrained weights, in eval mode, on CPU.

    The options that change logits are those that the stock video predictor sets by default:
    several masks where one is not stable (delta 0.05, threshold 0.98), and binary masks into the
    memory encoder on prompted slices. Untrained weights come from torch's global generator; see
    :func:`random_weights`.
    """
    return _ready(SAM2Base(**_arguments(config)))


def build_stock_predictor(config: SAM2Config, *, fill_hole_area: int = 0) -> nn.Module:
    """Builds ``sam2``'s own video predictor from the same modules, for parity and comparison.

    Args:
        config: the architecture.
        fill_hole_area: holes up to this many low-resolution pixels are filled, where the package's
            CUDA extension exists; 0 leaves logits as they are on every machine.
    """
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    return _ready(SAM2VideoPredictor(fill_hole_area=fill_hole_area, **_arguments(config)))


def random_weights(config: SAM2Config, seed: int = TINY_RANDOM_SEED) -> nn.Module:
    """Builds a model whose random weights depend on the seed alone.

    The caller's random generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone; a GPU's stays
        return build_sam2(config)


def _ready(model: nn.Module) -> nn.Module:
    model.eval()
    for module in model.modules():
        if isinstance(module, RoPEAttention):
            # Its constructor moves this table to a GPU where there is one; it is no buffer.
            module.freqs_cis = module.freqs_cis.to(next(model.parameters()).device)
    return model


def _arguments(config: SAM2Config) -> dict[str, Any]:
    """What the constructor takes: the modules, the options of all SAM2 models, the version's."""
    return {
        "image_encoder": _image_encoder(config),
        "memory_attention": _memory_attention(config),
        "memory_encoder": _memory_encoder(config),
        "num_maskmem": config.num_maskmem,
        "image_size": config.image_size,
        "sigmoid_scale_for_mem_enc": 20.0,
        "sigmoid_bias_for_mem_enc": -10.0,
        "binarize_mask_from_pts_for_mem_enc": True,
        "use_mask_input_as_output_without_sam": True,
        "directly_add_no_mem_embed": True,
        "use_high_res_features_in_sam": True,
        "multimask_output_in_sam": True,
        "multimask_min_pt_num": 0,
        "multimask_max_pt_num": 1,
        "multimask_output_for_tracking": True,
        "use_multimask_token_for_obj_ptr": True,
        "iou_prediction_use_sigmoid": True,
        "use_obj_ptrs_in_encoder": True,
        "only_obj_ptrs_in_the_past_for_eval": True,
        "pred_obj_scores": True,
        "pred_obj_scores_mlp": True,
        "fixed_no_obj_ptr": True,
        "use_mlp_for_obj_ptr_proj": True,
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
        **_version_arguments(config.version),
    }


def _version_arguments(version: str) -> dict[str, Any]:
    newer = version == "2.1"
    return {
        "no_obj_embed_spatial": newer,
        "add_tpos_enc_to_obj_ptrs": newer,
        "proj_tpos_enc_in_obj_ptrs": newer,
        "use_signed_tpos_enc_to_obj_ptrs": newer,
    }


def _position_encoding(channels: int) -> Any:
    return PositionEmbeddingSine(
        num_pos_feats=channels, normalize=True, scale=None, temperature=10000, warmup_cache=False
    )


def _image_encoder(config: SAM2Config) -> Any:
    trunk = Hiera(
        embed_dim=config.embed_dim,
        num_heads=config.num_heads,
        stages=config.stages,
        global_att_blocks=config.global_att_blocks,
        window_pos_embed_bkg_spatial_size=config.window_pos_embed_bkg_spatial_size,
        window_spec=config.window_spec,
    )
    neck = FpnNeck(
        position_encoding=_position_encoding(config.d_model),
        d_model=config.d_model,
        backbone_channel_list=list(config.backbone_channel_list),
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _memory_attention(config: SAM2Config) -> Any:
    attention = functools.partial(
        RoPEAttention,
        rope_theta=10000.0,
        feat_sizes=(config.feature_size, config.feature_size),
        embedding_dim=config.d_model,
        num_heads=1,
        downsample_rate=1,
        dropout=0.1,
    )
    layer = MemoryAttentionLayer(
        activation="relu",
        dim_feedforward=config.memory_feedforward,
        dropout=0.1,
        pos_enc_at_attn=False,
        self_attention=attention(),
        d_model=config.d_model,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        cross_attention=attention(rope_k_repeat=True, kv_in_dim=config.mem_dim),
    )
    return MemoryAttention(
        d_model=config.d_model,
        pos_enc_at_input=True,
        layer=layer,
        num_layers=config.memory_layers,
    )


def _memory_encoder(config: SAM2Config) -> Any:
    return MemoryEncoder(
        in_dim=config.d_model,
        out_dim=config.mem_dim,
        position_encoding=_position_encoding(config.mem_dim),
        mask_downsampler=MaskDownSampler(
            embed_dim=config.d_model, kernel_size=3, stride=2, padding=1
        ),
        fuser=Fuser(
            layer=CXBlock(
                dim=config.d_model,
                kernel_size=7,
                padding=3,
                layer_scale_init_value=1e-6,
                use_dwconv=True,
            ),
            num_layers=2,
        ),
    )
