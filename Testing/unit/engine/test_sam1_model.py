from __future__ import annotations

import dataclasses

import pytest
import torch
from chain_engine import chain_model

from medsam2.engine.device import Compute
from medsam2.engine.sam1_model import SAM1Model
from medsam2.engine.sam2_model import IMAGE_MEAN, IMAGE_STD
from medsam2.models.load import load_model
from medsam2.models.registry import Family

BOXES_XY = torch.tensor([[20.0, 30, 90, 100], [5, 5, 40, 40], [0, 0, 127, 127]])


def compute(dtype: torch.dtype = torch.float32) -> Compute:
    return Compute(torch.device("cpu"), dtype)


def image(seed: int = 0, channels: int = 1) -> torch.Tensor:
    return torch.rand(1, channels, 128, 128, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> SAM1Model:
    return chain_model()


@torch.inference_mode()
def test_images_become_one_level_of_features_each(model):
    features = model.encode(torch.cat([image(0), image(1)]))
    assert len(features) == 2
    for levels in features:
        assert [level.shape for level in levels] == [(32, 8, 8)]
        assert levels[0].dtype is torch.float32
        assert levels[0].is_contiguous()


@torch.inference_mode()
def test_features_of_a_batch_are_those_of_each_image_alone(model):
    together = model.encode(torch.cat([image(0), image(1)]))
    for seed, (level,) in enumerate(together):
        torch.testing.assert_close(level, model.encode(image(seed))[0][0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_grey_is_the_same_as_equal_red_green_and_blue(model):
    grey, colour = image(), image().expand(-1, 3, -1, -1)
    torch.testing.assert_close(model.encode(grey)[0][0], model.encode(colour)[0][0])


@torch.inference_mode()
def test_brightness_and_contrast_of_the_window_do_not_matter_to_medical_models(model):
    stretched, dim = model.encode(image())[0][0], model.encode(0.2 + 0.5 * image())[0][0]
    torch.testing.assert_close(stretched, dim, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_blank_slice_gives_finite_features(model):
    for value in (0.0, 0.5, 1.0):
        assert model.encode(torch.full((1, 1, 128, 128), value))[0][0].isfinite().all()


@torch.inference_mode()
def test_sam1_gets_images_with_the_mean_of_natural_ones_taken_away():
    loaded = load_model("tiny-random-chain")
    card = dataclasses.replace(loaded.card, name="sam1-vit-b", family=Family.SAM1)
    model = SAM1Model(dataclasses.replace(loaded, card=card), compute())
    seen: list[torch.Tensor] = []
    loaded.module.image_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.encode(image())
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    torch.testing.assert_close(seen[0], (image() - mean) / std)


@torch.inference_mode()
def test_every_box_gets_logits_and_a_quality_of_its_own(model):
    features = model.encode(image())[0]
    logits, quality = model.decode(features, BOXES_XY)
    assert logits.shape == (3, 32, 32)
    assert quality.shape == (3,)
    assert logits.dtype is quality.dtype is torch.float32
    assert not torch.equal(logits[0], logits[1])


@torch.inference_mode()
def test_boxes_decoded_together_get_what_they_get_alone(model):
    features = model.encode(image())[0]
    logits, quality = model.decode(features, BOXES_XY)
    for place, box_xy in enumerate(BOXES_XY):
        alone, alone_quality = model.decode(features, box_xy[None])
        torch.testing.assert_close(logits[place], alone[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(quality[place], alone_quality[0], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_bfloat16_keeps_features_small_and_gives_nearly_the_same_logits(model):
    fast = SAM1Model(load_model("tiny-random-chain"), compute(torch.bfloat16))
    features = fast.encode(image())[0]
    assert features[0].dtype is torch.bfloat16
    logits, quality = fast.decode(features, BOXES_XY)
    assert logits.dtype is quality.dtype is torch.float32
    exact, _ = model.decode(model.encode(image())[0], BOXES_XY)
    assert (logits - exact).abs().mean() < 0.05 * exact.abs().mean()
