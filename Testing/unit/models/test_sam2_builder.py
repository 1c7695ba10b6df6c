"""SAM2 built in plain Python is the SAM2 of the packaged configurations."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch.overrides import TorchFunctionMode

from medsam2.models.sam2_builder import (
    CONFIGS,
    MEDSAM2,
    SAM2_1_TINY,
    TINY_RANDOM,
    SAM2Config,
    build_sam2,
    build_stock_predictor,
    random_weights,
)

PACKAGED = {
    "sam2.1-tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1-small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1-base-plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1-large": "configs/sam2.1/sam2.1_hiera_l.yaml",
    "sam2-tiny": "configs/sam2/sam2_hiera_t.yaml",
    "sam2-small": "configs/sam2/sam2_hiera_s.yaml",
    "sam2-base-plus": "configs/sam2/sam2_hiera_b+.yaml",
    "sam2-large": "configs/sam2/sam2_hiera_l.yaml",
}


class WithoutStorage(TorchFunctionMode):
    """Makes every tensor on the meta device, but for the table whose numbers are read at once."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            return func(*args, **{**kwargs, "device": "cpu"})
        return func(*args, **kwargs)


def stock(name: str) -> torch.nn.Module:
    from sam2.build_sam import build_sam2_video_predictor

    with torch.device("meta"), WithoutStorage():
        return build_sam2_video_predictor(PACKAGED[name], ckpt_path=None, device="meta")


def ours(name: str) -> torch.nn.Module:
    with torch.device("meta"), WithoutStorage():
        return build_stock_predictor(CONFIGS[name])


def options(module: torch.nn.Module) -> dict[str, object]:
    """The plain values among a module's attributes: its settings."""
    found: dict[str, object] = {}
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if value is None or isinstance(value, bool | int | float | str):
            found[name] = value
        elif isinstance(value, Sequence):
            found[name] = list(value)
        elif isinstance(value, Mapping):
            found[name] = dict(value)
    return found


def plain_options(model: torch.nn.Module) -> dict[str, dict[str, object]]:
    found = {name: options(module) for name, module in model.named_modules()}
    for values in found.values():
        values.pop("cache", None)  # filled as it is used
    found[""].pop("fill_hole_area")  # the one setting that is ours to choose
    return found


@pytest.mark.parametrize("name", PACKAGED)
def test_names_shapes_and_settings_are_those_of_the_packaged_configuration(name):
    theirs, built = stock(name), ours(name)
    assert {k: tuple(v.shape) for k, v in built.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert plain_options(built) == plain_options(theirs)
    assert str(built) == str(theirs)


def test_the_checkpoint_of_sam2_1_tiny_has_as_many_bytes_as_the_model_has_weights():
    model = ours("sam2.1-tiny")
    megabytes = sum(t.numel() * 4 for t in model.state_dict().values()) / 1e6
    assert megabytes == pytest.approx(156.0, abs=0.2)


def test_the_base_model_has_the_predictors_weights_and_settings():
    base, predictor = build_sam2(TINY_RANDOM), build_stock_predictor(TINY_RANDOM)
    assert base.state_dict().keys() == predictor.state_dict().keys()
    theirs = options(predictor)
    assert all(theirs[name] == value for name, value in options(base).items())
    assert predictor.fill_hole_area == 0
    assert not base.training
    assert not predictor.training


@pytest.mark.parametrize(("config", "side"), [(SAM2_1_TINY, 64), (MEDSAM2, 32)])
def test_the_rotary_table_follows_the_input_size(config, side):
    with torch.device("meta"), WithoutStorage():
        model = build_sam2(config)
    layer = model.memory_attention.layers[0]
    assert layer.self_attn.freqs_cis.shape[0] == side * side
    assert layer.cross_attn_image.freqs_cis.shape[0] == side * side
    assert model.sam_prompt_encoder.image_embedding_size == (side, side)


def test_an_input_size_keeps_names_and_shapes():
    assert MEDSAM2.image_size == 512
    small = TINY_RANDOM.with_image_size(256)
    state = random_weights(TINY_RANDOM).state_dict()
    build_sam2(small).load_state_dict(state, strict=True)


@pytest.mark.parametrize("size", [0, -32, 16, 100, 1000])
def test_an_input_size_that_does_not_fit_says_which_do(size):
    with pytest.raises(ValueError, match="multiple of 32"):
        TINY_RANDOM.with_image_size(size)


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match=r"2\.0 or 2\.1"):
        SAM2Config(version="3")


def test_random_weights_depend_on_the_seed_alone_and_leave_the_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = random_weights(TINY_RANDOM, 1).state_dict()
    assert torch.equal(torch.rand(3), expected)
    again, other = (random_weights(TINY_RANDOM, seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def track(model: torch.nn.Module, box: list[list[float]], slices: int) -> list[torch.Tensor]:
    """Follows a growing disc; returns each slice's low-resolution mask."""
    side = model.image_size
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    distance = ((columns - side * 0.45) ** 2 + (rows - side * 0.5) ** 2).sqrt()
    memory = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    for t in range(slices):
        image = ((distance < side * 0.2 + t).float() * 2 - 1).expand(1, 3, side, side)
        _, features, positions, sizes = model._prepare_backbone_features(model.forward_image(image))
        points = {
            "point_coords": torch.tensor([box]) * side,
            "point_labels": torch.tensor([[2, 3]]),
        }
        output = model.track_step(
            frame_idx=t,
            is_init_cond_frame=t == 0,
            current_vision_feats=features,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=points if t == 0 else None,
            mask_inputs=None,
            output_dict=memory,
            num_frames=slices,
        )
        memory["cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"][t] = output
    outputs = memory["cond_frame_outputs"] | memory["non_cond_frame_outputs"]
    return [outputs[t]["pred_masks"][0, 0] > 0 for t in range(slices)]


@torch.inference_mode()
def test_tiny_random_makes_masks_that_a_test_can_tell_apart():
    model = random_weights(TINY_RANDOM)
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    masks = track(model, [[0.25, 0.3], [0.65, 0.7]], 4)
    assert all(0.1 < mask.float().mean() < 0.9 for mask in masks)
    elsewhere = track(model, [[0.5, 0.1], [0.9, 0.4]], 1)[0]
    assert (masks[0] ^ elsewhere).any()


def test_building_imports_neither_torchvision_nor_a_compiled_extension():
    code = (
        "import sys; from medsam2.models.sam2_builder import *; build_sam2(TINY_RANDOM);"
        "sys.exit(any(n == 'torchvision' or n == 'sam2._C' for n in sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.run(command, check=False, env=environment).returncode == 0


def test_every_option_of_the_model_was_decided():
    """A new option of the package must not slip in with a default that the checkpoints lack."""
    from sam2.modeling.sam2_base import SAM2Base

    left_to_the_package = {
        "self",
        "backbone_stride",
        "max_cond_frames_in_attn",
        "memory_temporal_stride_for_eval",
        "non_overlap_masks_for_mem_enc",
        "max_obj_ptrs_in_encoder",
        "soft_no_obj_ptr",
        "compile_image_encoder",
    }
    from medsam2.models import sam2_builder

    chosen = sam2_builder._arguments(TINY_RANDOM).keys()
    assert set(inspect.signature(SAM2Base.__init__).parameters) == chosen | left_to_the_package
