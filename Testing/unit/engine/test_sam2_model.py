from __future__ import annotations

import torch

from medsam2.engine.device import Compute
from medsam2.engine.sam2_model import SAM2Model
from medsam2.models.sam2_builder import build_stock_predictor, random_weights
from medsam2.models.sam2_config import SAM2_1_TINY

CONFIG = SAM2_1_TINY.with_image_size(128)


def test_the_streamlined_encoder_gives_the_stock_encoders_levels():
    stock = build_stock_predictor(CONFIG)
    stock.load_state_dict(random_weights(CONFIG, 5).state_dict())
    ours = SAM2Model(random_weights(CONFIG, 5), Compute(torch.device("cpu"), torch.float32))
    image = torch.rand(1, 1, 128, 128)
    with torch.inference_mode():
        levels = ours.encode(image)[0]
        expected = stock.forward_image((image - ours._mean) / ours._std)["backbone_fpn"]
    for level, stock_level in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, stock_level[0], atol=1e-4, rtol=1e-4)


def test_grey_and_equal_colour_channels_are_encoded_alike_and_batches_like_singles():
    model = SAM2Model(random_weights(CONFIG, 5), Compute(torch.device("cpu"), torch.float32))
    grey = torch.rand(2, 1, 128, 128)
    with torch.inference_mode():
        batch = model.encode(grey)
        colour = model.encode(grey.expand(-1, 3, -1, -1))
        single = model.encode(grey[1:])[0]
    for level, other, alone in zip(batch[1], colour[1], single, strict=True):
        torch.testing.assert_close(level, other)
        torch.testing.assert_close(level, alone, atol=1e-4, rtol=1e-4)


def test_kept_features_are_in_the_computing_format():
    model = SAM2Model(random_weights(CONFIG, 5), Compute(torch.device("cpu"), torch.bfloat16))
    with torch.inference_mode():
        levels = model.encode(torch.rand(1, 1, 128, 128))[0]
    assert [level.dtype for level in levels] == [torch.bfloat16] * 3
    assert [tuple(level.shape) for level in levels] == [(32, 32, 32), (64, 16, 16), (256, 8, 8)]
