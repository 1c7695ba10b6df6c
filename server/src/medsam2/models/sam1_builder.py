"""SAM ViT-B, for ``sam1-vit-b`` and ``medsam-vit-b``: the benchmark's baselines."""

from __future__ import annotations

import warnings
from typing import Final

from torch import nn

from medsam2.core.errors import ModelError

from .torchvision_guard import declare_missing_operators

IMAGE_SIZE: Final = 1024
"""Side of the square input, in pixels; the position table has this size alone."""


def build_sam1() -> nn.Module:
    """Builds SAM ViT-B with untrained weights, in eval mode, on CPU.

    The module has ``image_encoder`` (``[B, 3, 1024, 1024]``, normalised, to ``[B, 256, 64, 64]``),
    ``prompt_encoder`` and ``mask_decoder``. The names and shapes of its weights are those of the
    public ``sam_vit_b_01ec64.pth`` and ``medsam_vit_b.pth``.

    Raises:
        ModelError: the package ``rf-segment-anything`` is not installed.
    """
    # The package's __init__ imports torchvision for its automatic mask generator.
    declare_missing_operators()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from segment_anything.build_sam import build_sam_vit_b
    except ModuleNotFoundError as error:
        msg = f"SAM needs {error.name}; run: pip install rf-segment-anything==1.0 torchvision"
        raise ModelError(msg) from error
    model: nn.Module = build_sam_vit_b()
    return model.eval()
