"""Single-slice models with box prompts: LiteMedSAM, MedSAM and SAM1 (Kirillov et al. 2023).

Coordinates here are the model's own: pixels of its square input. Each family scales its input in its
own way: LiteMedSAM and MedSAM (Ma et al. 2024) stretch every image to 0..1, SAM1 subtracts the mean
of natural images.
"""

from __future__ import annotations

from typing import Any

import torch

from medsam2.models.load import LoadedModel
from medsam2.models.registry import Family

from .device import Compute
from .features import Features
from .sam2_model import IMAGE_MEAN, IMAGE_STD


class SAM1Model:
    """A SAM1-like model on a device.

    Args:
        loaded: the model; its image encoder is converted in place.
        compute: device and number format of the encoder and of the mask decoder's products.
    """

    def __init__(self, loaded: LoadedModel, compute: Compute) -> None:
        self.compute = compute
        self.size = loaded.image_size
        module: Any = loaded.module.to(compute.device)
        self._module = module
        module.image_encoder.to(dtype=compute.dtype, memory_format=torch.channels_last)
        self._natural = loaded.card.family is Family.SAM1 and loaded.card.name == "sam1-vit-b"
        self._mean = torch.tensor(IMAGE_MEAN, device=compute.device).view(3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=compute.device).view(3, 1, 1)
        with torch.inference_mode():
            self._position = module.prompt_encoder.get_dense_pe()

    def encode(self, images: torch.Tensor) -> list[Features]:
        """Encodes images ``[n, 1 or 3, size, size]`` in 0..1 into one level ``[256, g, g]`` each."""
        pixels = images.to(self.compute.device).expand(-1, 3, -1, -1)
        if self._natural:
            pixels = (pixels - self._mean) / self._std
        else:
            low, high = pixels.amin((1, 2, 3), True), pixels.amax((1, 2, 3), True)
            pixels = (pixels - low) / (high - low).clamp_min(1e-8)
        encoded = self._module.image_encoder(
            pixels.to(dtype=self.compute.dtype, memory_format=torch.channels_last)
        )
        return [(maps.contiguous(),) for maps in encoded]

    def decode(
        self, features: Features, boxes_xy: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Segments ``n`` boxes on one slice.

        Args:
            features: of the slice.
            boxes_xy: corners ``[n, 4]`` as (x0, y0, x1, y1) in pixels of the input.

        Returns:
            logits ``[n, s, s]`` float32 and the predicted intersection over union ``[n]``.
        """
        device = self.compute.device
        sparse, dense = self._module.prompt_encoder(
            points=None, boxes=boxes_xy[:, None].to(device).float(), masks=None
        )
        with self.compute.autocast():
            logits, quality = self._module.mask_decoder(
                image_embeddings=features[0].float()[None],
                image_pe=self._position,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        return logits[:, 0].float(), quality[:, 0].float()
