"""What tells one SAM2 model from another, as values.

The numbers are those of the configurations that the public checkpoints were trained with, so that
the names and shapes of a model built from them are the checkpoints' own.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Final, Self

BACKBONE_STRIDE: Final = 16
"""Input pixels per feature of the memory attention."""
ENCODER_STRIDE: Final = 32
"""Input pixels per feature of the encoder's coarsest level; sides must be its multiples."""


@dataclasses.dataclass(frozen=True)
class SAM2Config:
    """One SAM2 architecture.

    Args:
        image_size: side of the square input, in pixels; a multiple of 32.
        embed_dim: channels of the encoder's first stage; each later stage has twice as many.
        num_heads: attention heads of the first stage; each later stage has twice as many.
        stages: blocks per stage.
        global_att_blocks: the blocks that attend to the whole image.
        window_pos_embed_bkg_spatial_size: size of the learned position grid before resizing.
        window_spec: attention window per stage, in tokens.
        version: ``2.0`` or ``2.1``; the latter adds the "no object" embedding to memories and
            tells object pointers how far away, and on which side, they were made.
        d_model: channels of the features that the decoder and the memory attention see.
        mem_dim: channels of a stored memory.
        memory_layers: layers of the memory attention.
        memory_feedforward: hidden width of such a layer's perceptron.
        num_maskmem: memories that a slice sees: one prompted and the others tracked.
    """

    image_size: int = 1024
    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, int, int, int] = (1, 2, 7, 2)
    global_att_blocks: tuple[int, ...] = (5, 7, 9)
    window_pos_embed_bkg_spatial_size: tuple[int, int] = (7, 7)
    window_spec: tuple[int, int, int, int] = (8, 4, 14, 7)
    version: str = "2.1"
    d_model: int = 256
    mem_dim: int = 64
    memory_layers: int = 4
    memory_feedforward: int = 2048
    num_maskmem: int = 7

    def __post_init__(self) -> None:
        if self.version not in {"2.0", "2.1"}:
            msg = f"There is no SAM {self.version}; the version is 2.0 or 2.1."
            raise ValueError(msg)
        if self.image_size < ENCODER_STRIDE or self.image_size % ENCODER_STRIDE:
            msg = f"An input of {self.image_size} px does not fit; give a multiple of 32."
            raise ValueError(msg)

    @property
    def backbone_channel_list(self) -> tuple[int, ...]:
        """Channels of the encoder's levels, coarsest first."""
        return tuple(self.embed_dim * 2**stage for stage in (3, 2, 1, 0))

    @property
    def feature_size(self) -> int:
        """Side of the feature map that the memory attention sees."""
        return self.image_size // BACKBONE_STRIDE

    def with_image_size(self, image_size: int) -> Self:
        """Returns the same architecture for another input size; weights stay loadable."""
        return dataclasses.replace(self, image_size=image_size)


SAM2_1_TINY: Final = SAM2Config()
SAM2_1_SMALL: Final = dataclasses.replace(
    SAM2_1_TINY, stages=(1, 2, 11, 2), global_att_blocks=(7, 10, 13)
)
SAM2_1_BASE_PLUS: Final = SAM2Config(
    embed_dim=112,
    num_heads=2,
    stages=(2, 3, 16, 3),
    global_att_blocks=(12, 16, 20),
    window_pos_embed_bkg_spatial_size=(14, 14),
)
SAM2_1_LARGE: Final = SAM2Config(
    embed_dim=144,
    num_heads=2,
    stages=(2, 6, 36, 4),
    global_att_blocks=(23, 33, 43),
    window_spec=(8, 4, 16, 8),
)
MEDSAM2: Final = SAM2_1_TINY.with_image_size(512)
TINY_RANDOM: Final = SAM2Config(
    image_size=128,
    embed_dim=8,
    stages=(1, 1, 2, 1),
    global_att_blocks=(3,),
    d_model=32,
    mem_dim=16,
    memory_layers=2,
    memory_feedforward=64,
)
"""For tests: it runs everything that the others run, and knows nothing."""
TINY_RANDOM_SEED: Final = 13
"""With it the masks are neither empty nor full, and depend on the image and on the prompt."""

_SAM2_1 = {
    "tiny": SAM2_1_TINY,
    "small": SAM2_1_SMALL,
    "base-plus": SAM2_1_BASE_PLUS,
    "large": SAM2_1_LARGE,
}
CONFIGS: Final = MappingProxyType(
    {f"sam2.1-{size}": config for size, config in _SAM2_1.items()}
    | {f"sam2-{size}": dataclasses.replace(c, version="2.0") for size, c in _SAM2_1.items()}
    | {"medsam2": MEDSAM2, "tiny-random": TINY_RANDOM}
)
"""Every SAM2 architecture by name."""
