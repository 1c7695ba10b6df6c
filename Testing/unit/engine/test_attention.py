from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsam2.engine.attention import MemoryTokens, attend, join_tokens, rotate
from medsam2.engine.device import Compute
from medsam2.engine.sam2_model import SAM2Model
from medsam2.models.sam2_builder import random_weights
from medsam2.models.sam2_config import SAM2_1_TINY


@pytest.fixture(scope="module")
def model():
    module = random_weights(SAM2_1_TINY.with_image_size(128), 5)
    return SAM2Model(module, Compute(torch.device("cpu"), torch.float32))


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("pointers", [0, 8])
def test_the_folded_attention_equals_the_stock_module(model, objects, pointers):
    torch.manual_seed(1)
    module, ours, tokens = model.module, model.attention, 64
    slice_tokens = torch.randn(objects, tokens, 256)
    remembered = [torch.randn(objects, tokens, 64) for _ in range(3)]
    ages = [6, 0, 4]
    pointer = torch.randn(objects, pointers, 64)
    pointer_position = torch.randn(pointers, 64)
    with torch.inference_mode():
        found = ours(
            slice_tokens,
            model._position,
            [(ours.remember(values), age) for values, age in zip(remembered, ages, strict=True)],
            pointer,
            pointer_position,
        )
        places = [ours._position + module.maskmem_tpos_enc[age, 0, 0] for age in ages]
        memory = torch.cat([*remembered, pointer], dim=1).transpose(0, 1)
        position = torch.cat([*places, pointer_position]).unsqueeze(1).expand(-1, objects, -1)
        expected = module.memory_attention(
            curr=[slice_tokens.transpose(0, 1)],
            curr_pos=[model._position.unsqueeze(1).expand(-1, objects, -1)],
            memory=memory,
            memory_pos=position,
            num_obj_ptr_tokens=pointers,
        ).transpose(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_memories_of_several_objects_join_with_or_without_their_keys():
    with_keys = [MemoryTokens(torch.ones(1, 4, 2) * n, [torch.ones(1, 4, 8) * n]) for n in (1, 2)]
    joined = join_tokens(with_keys)
    assert joined.values.shape == (2, 4, 2)
    assert joined.keys is not None
    assert joined.keys[0][1].unique().tolist() == [2.0]
    assert join_tokens([with_keys[0], MemoryTokens(torch.ones(1, 4, 2))]).keys is None


def slice_inputs(objects: int, pointers: int, seed: int = 2) -> tuple[torch.Tensor, ...]:
    """Tokens of a slice, pointers and their encoding."""
    random = torch.Generator().manual_seed(seed)
    shapes = (objects, 64, 256), (objects, pointers, 64), (pointers, 64)
    tokens, pointer, position = (torch.randn(shape, generator=random) for shape in shapes)
    return tokens, pointer, position


@torch.inference_mode()
def test_a_memorys_kept_keys_serve_every_later_slice_and_every_age(model):
    ours = model.attention
    tokens, pointer, place = slice_inputs(1, 4)
    values = [torch.randn(1, 64, 64) for _ in range(7)]
    kept = [ours.remember(one) for one in values]
    for shift in range(3):
        ages = [(age + shift) % 7 for age in range(7)]
        again = [(memory, age) for memory, age in zip(kept, ages, strict=True)]
        anew = [(ours.remember(one), age) for one, age in zip(values, ages, strict=True)]
        found, expected = (
            ours(tokens, model._position, memories, pointer, place) for memories in (again, anew)
        )
        assert torch.equal(found, expected)
    assert all(memory.keys is not None for memory in kept)


@torch.inference_mode()
def test_objects_attended_together_get_what_they_get_alone(model):
    ours = model.attention
    tokens, pointer, place = slice_inputs(3, 8)
    parts = [ours.remember(torch.randn(1, 64, 64)) for _ in range(3)]

    def alone(n: int) -> torch.Tensor:
        one = slice(n, n + 1)
        return ours(tokens[one], model._position, [(parts[n], 2)], pointer[one], place)

    cold = ours(tokens, model._position, [(join_tokens(parts), 2)], pointer, place)
    single = torch.cat([alone(n) for n in range(3)])
    warm = ours(tokens, model._position, [(join_tokens(parts), 2)], pointer, place)
    assert join_tokens(parts).keys is not None
    torch.testing.assert_close(cold, single, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(warm, single, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_bfloat16_gives_nearly_the_same_in_float32_numbers(model):
    module = random_weights(SAM2_1_TINY.with_image_size(128), 5)
    fast = SAM2Model(module, Compute(torch.device("cpu"), torch.bfloat16)).attention
    tokens, pointer, place = slice_inputs(1, 4)
    values = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(4))
    assert fast.remember(values).values.dtype is torch.bfloat16
    exact, near = (
        attention(tokens, model._position, [(attention.remember(values), 3)], pointer, place)
        for attention in (model.attention, fast)
    )
    assert near.dtype is torch.float32
    assert (near - exact).abs().mean() < 0.02 * exact.abs().mean()


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**31))
def test_rotating_keeps_lengths_and_the_angles_between_equally_turned_tokens(count, pairs, seed):
    random = torch.Generator().manual_seed(seed)
    angles = torch.rand(4, pairs, generator=random) * 6
    first, second = (torch.randn(count, 4, 2 * pairs, generator=random) for _ in range(2))
    turned, other = (rotate(tokens, angles.cos(), angles.sin()) for tokens in (first, second))
    torch.testing.assert_close(turned.norm(dim=-1), first.norm(dim=-1))
    torch.testing.assert_close((turned * other).sum(-1), (first * second).sum(-1))


def test_attention_takes_the_mean_of_values_weighted_by_agreement():
    key, value = torch.tensor([[[40.0, 0], [0, 40]]]), torch.tensor([[[1.0, 2, 3], [4, 5, 6]]])
    found = attend(torch.tensor([[[0.0, 40], [1, 1]]]), key, value)
    torch.testing.assert_close(found, torch.tensor([[[4.0, 5, 6], [2.5, 3.5, 4.5]]]))
