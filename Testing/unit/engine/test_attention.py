from __future__ import annotations

import pytest
import torch

from medsam2.engine.attention import MemoryTokens, join_tokens
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
