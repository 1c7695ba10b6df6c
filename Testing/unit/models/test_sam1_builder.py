"""SAM ViT-B has the names and shapes of the public checkpoints."""

from __future__ import annotations

import sys

import pytest
import torch

from medsam2.core.errors import ModelError
from medsam2.models import sam1_builder
from medsam2.models.sam1_builder import build_sam1
from medsam2.models.tiny_chain import IMAGE_SIZE, build_tiny_chain


@pytest.fixture(scope="module")
def model():
    with torch.device("meta"):
        return build_sam1()


def test_the_weights_are_as_many_as_in_the_public_checkpoints(model):
    state = model.state_dict()
    assert len(state) == 314
    megabytes = sum(tensor.numel() * 4 for tensor in state.values()) / 1e6
    assert megabytes == pytest.approx(375.0, abs=0.2)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("image_encoder.pos_embed", (1, 64, 64, 768)),
        ("image_encoder.patch_embed.proj.weight", (768, 3, 16, 16)),
        ("image_encoder.blocks.0.attn.rel_pos_h", (27, 64)),
        ("image_encoder.blocks.2.attn.rel_pos_w", (127, 64)),
        ("image_encoder.blocks.11.mlp.lin1.weight", (3072, 768)),
        ("image_encoder.neck.0.weight", (256, 768, 1, 1)),
        ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128)),
        ("prompt_encoder.mask_downscaling.0.weight", (4, 1, 2, 2)),
        ("mask_decoder.transformer.layers.1.cross_attn_token_to_image.q_proj.weight", (128, 256)),
        ("mask_decoder.iou_prediction_head.layers.2.weight", (4, 256)),
    ],
)
def test_weights_have_the_public_names_and_shapes(model, name, shape):
    assert tuple(model.state_dict()[name].shape) == shape


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "segment_anything"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(ModelError, match="pip install rf-segment-anything"):
        sam1_builder.build_sam1()


@torch.inference_mode()
def test_the_tiny_chain_model_answers_a_box_with_a_mask():
    chain = build_tiny_chain(0)
    image = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    sparse, dense = chain.prompt_encoder(
        points=None, boxes=torch.tensor([[20.0, 20.0, 90.0, 80.0]]), masks=None
    )
    logits, scores = chain.mask_decoder(
        image_embeddings=chain.image_encoder(image),
        image_pe=chain.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    assert logits.shape == (1, 1, 32, 32)
    assert scores.shape == (1, 1)


def test_the_tiny_chain_model_depends_on_the_seed_alone_and_leaves_the_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_tiny_chain(1).state_dict()
    assert torch.equal(torch.rand(3), expected)
    again = build_tiny_chain(1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
