from __future__ import annotations

import pytest
import torch
from tiny_engine import tiny_model

from medsam2.engine.device import Compute
from medsam2.engine.features import Features
from medsam2.engine.sam2_model import Decoded, SAM2Model
from medsam2.models.sam2_builder import build_stock_predictor, random_weights
from medsam2.models.sam2_config import SAM2_1_TINY

CONFIG = SAM2_1_TINY.with_image_size(128)
GRID, CHANNELS, MEMORY_CHANNELS, LOGITS = 8, 32, 16, 32
"""Of the tiny random model."""


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


def box_points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The corners of ``count`` different boxes."""
    corners = torch.tensor([[[20.0, 30.0], [90.0, 100.0]]]).expand(count, -1, -1).clone()
    corners += 5 * torch.arange(count)[:, None, None]
    return corners, torch.tensor([[2, 3]]).expand(count, -1)


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return tiny_model()


@pytest.fixture(scope="module")
@torch.inference_mode()
def features(model):
    return model.encode(torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(3)))[0]


def one_by_one(model: SAM2Model, features: Features, count: int) -> list[Decoded]:
    points, labels = box_points(count)
    return [
        model.decode(features, None, (points[n : n + 1], labels[n : n + 1]), first_look=True)
        for n in range(count)
    ]


def joined(decoded: list[Decoded]) -> Decoded:
    names = ("logits", "pointer", "presence", "quality")
    return Decoded(**{n: torch.cat([getattr(d, n) for d in decoded]) for n in names})


@pytest.mark.parametrize("count", [1, 3])
@torch.inference_mode()
def test_a_slice_is_decoded_remembered_and_recalled_for_each_object(model, features, count):
    first = joined(one_by_one(model, features, count))
    assert first.logits.shape == (count, 1, LOGITS, LOGITS)
    assert first.pointer.shape == (count, CHANNELS)
    assert first.presence.shape == (count, 1)
    assert first.quality.shape == (count,)
    memory = model.remember(4, features, first, prompted=True)
    assert memory.index == 4
    assert memory.tokens.values.shape == (count, GRID * GRID, MEMORY_CHANNELS)
    assert memory.pointer.shape == (count, CHANNELS)
    recalled = model.recall(features, [(memory.tokens, 0)], [(memory.pointer, 1)], 15)
    assert recalled.shape == (count, CHANNELS, GRID, GRID)
    assert recalled.dtype is torch.float32
    assert model.decode(features, recalled).logits.shape == (count, 1, LOGITS, LOGITS)


@torch.inference_mode()
def test_objects_remembered_and_recalled_together_get_what_they_get_alone(model, features):
    decoded = one_by_one(model, features, 3)
    together = model.remember(2, features, joined(decoded), prompted=True)
    recalled = model.recall(features, [(together.tokens, 1)], [(together.pointer, 2)], 15)
    for place, one in enumerate(decoded):
        alone = model.remember(2, features, one, prompted=True)
        torch.testing.assert_close(together.tokens.values[place], alone.tokens.values[0])
        expected = model.recall(features, [(alone.tokens, 1)], [(alone.pointer, 2)], 15)
        torch.testing.assert_close(recalled[place], expected[0], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_memories_are_rounded_to_bfloat16_as_the_stock_predictor_does(model, features):
    memory = model.remember(0, features, one_by_one(model, features, 1)[0], prompted=True)
    values = memory.tokens.values
    assert values.dtype is torch.float32
    assert torch.equal(values, values.bfloat16().float())


@torch.inference_mode()
def test_recalling_depends_on_age_pointers_and_their_distance(model, features):
    memory = model.remember(0, features, one_by_one(model, features, 1)[0], prompted=True)

    def recall(age: int, *distances: int) -> torch.Tensor:
        pointers = [(memory.pointer, d) for d in distances]
        return model.recall(features, [(memory.tokens, age)], pointers, 15)

    plain = recall(0)
    assert plain.shape == (1, CHANNELS, GRID, GRID)
    for other in (recall(1), recall(0, 1), recall(0, 1, 2)):
        assert not torch.equal(plain, other)
    assert not torch.equal(recall(0, 1), recall(0, 5))
    assert not torch.equal(recall(0, 1), recall(0, -1))


@torch.inference_mode()
def test_a_users_mask_is_the_answer(model, features):
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 30:80, 40:90] = 1
    accepted = model.accept(features, mask)
    assert accepted.pointer.shape == (1, CHANNELS)
    assert accepted.quality.shape == (1,)
    inside = accepted.logits > 0
    small = torch.nn.functional.interpolate(mask, (LOGITS, LOGITS), mode="area") > 0.5
    assert inside.shape == small.shape
    assert (inside != small).float().mean() < 0.02


@torch.inference_mode()
def test_earlier_logits_change_what_points_give(model, features):
    points = torch.tensor([[[60.0, 60.0]]]), torch.tensor([[1]])
    without = model.decode(features, None, points, first_look=True)
    earlier = torch.full((1, 1, LOGITS, LOGITS), -8.0)
    earlier[..., 10:20, 10:20] = 8.0
    corrected = model.decode(features, None, points, previous=earlier)
    assert not torch.equal(without.logits, corrected.logits)
