"""What each part of a slice costs, with each saving switched on and off."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from medsam2.engine.device import Compute, cpu_has_bf16, keep_freed_memory
from medsam2.engine.sam2_model import Memory, SAM2Model
from medsam2.models.load import load_model
from medsam2.models.sam2_builder import random_weights
from medsam2.models.sam2_config import MEDSAM2

from .table import Row

ROUNDS = 5


def component_rows() -> list[Row]:
    """Encoder and memory attention at 512 px: stock's way, ours in float32, ours in bfloat16."""
    keep_freed_memory()
    formats = [torch.float32, torch.bfloat16] if cpu_has_bf16() else [torch.float32]
    models = [_Steady(SAM2Model(random_weights(MEDSAM2, 7), _compute(f))) for f in formats]
    stock = _Steady(SAM2Model(random_weights(MEDSAM2, 7), _compute(torch.float32)))
    encode: list[Callable[[], object]] = [m.encode for m in models]
    recall: list[Callable[[], object]] = [stock.recall_stock, *(m.recall for m in models)]
    seconds = _alternate([*encode, *recall])
    encoders, recalls = seconds[: len(models)], seconds[len(models) :]
    rows = [Row("image encoder, float32", encoders[0] * 1000, "ms")]
    if len(formats) > 1:
        rows.append(Row.ratio("image encoder: bfloat16", encoders[1], encoders[0]))
    rows += [
        Row("memory attention, stock module, float32", recalls[0] * 1000, "ms"),
        Row.ratio("memory attention: folded values, kept keys", recalls[1], recalls[0]),
    ]
    if len(formats) > 1:
        rows.append(Row.ratio("memory attention: the same in bfloat16", recalls[2], recalls[0]))
    for name, method in (("mask decoder", "decode"), ("memory encoder", "remember")):
        rest = _alternate([getattr(model, method) for model in models])
        rows.append(Row(f"{name}, float32", rest[0] * 1000, "ms"))
        rows += [Row.ratio(f"{name}: bfloat16", time, rest[0]) for time in rest[1:]]
    return rows


def encoder_rows() -> list[Row]:
    """The LiteMedSAM encoder against the machine's own rate for matrix products."""
    from torch.utils.flop_counter import FlopCounterMode

    from medsam2.engine.sam1_model import SAM1Model

    keep_freed_memory()
    formats = [torch.float32, torch.bfloat16] if cpu_has_bf16() else [torch.float32]
    models = [SAM1Model(load_model("litemedsam"), _compute(f)) for f in formats]
    image = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            # The fused kernels of float32 are not counted; bfloat16 runs the same products plainly.
            models[-1].encode(image)
        peaks = [gemm_gflops(torch.float32)]
        seconds = _alternate([lambda m=m: m.encode(image) for m in models])  # type: ignore[misc]
        peaks.append(gemm_gflops(torch.float32))
    gflop = counter.get_total_flops() / 1e9
    rate, peak = gflop / seconds[0], statistics.mean(peaks)
    detail = f"{rate:.0f} of {peak:.0f} GFLOP/s, {gflop:.0f} GFLOP in {seconds[0] * 1000:.0f} ms"
    rows = [
        Row("litemedsam encoder against fp32 GEMM", rate / peak * 100, "%", 70.0, detail=detail)
    ]
    if len(formats) > 1:
        rows.append(Row.ratio("litemedsam encoder: bfloat16", seconds[1], seconds[0], 1.5))
    return rows


def gemm_gflops(dtype: torch.dtype, side: int = 2048, repeats: int = 6) -> float:
    """The machine's best rate for a square matrix product, in GFLOP/s."""
    left, right = (torch.rand(side, side).to(dtype) for _ in range(2))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times) / 1e9


def _compute(dtype: torch.dtype) -> Compute:
    return Compute(torch.device("cpu"), dtype)


class _Steady:
    """A model in the middle of a run, its memory bank full."""

    def __init__(self, model: SAM2Model) -> None:
        self._model = model
        self._image = torch.rand(1, 1, model.size, model.size)
        with torch.inference_mode():
            self._features = model.encode(self._image)[0]
            self._decoded = model.decode(self._features, None, first_look=True)
            self._memories = [self._remember(index) for index in range(model.memories + 1)]
        self._conditioned = self.recall()

    def encode(self) -> object:
        return self._model.encode(self._image)

    def recall(self) -> torch.Tensor:
        with torch.inference_mode():
            spatial = [(m.tokens, age) for age, m in enumerate(self._memories)]
            pointers = [(m.pointer, age + 1) for age, m in enumerate(self._memories)] * 2
            return self._model.recall(self._features, spatial, pointers, 15)

    def recall_stock(self) -> torch.Tensor:
        """The stock module on memory of the same size."""
        module = self._model.module
        tokens = self._features[2].float().flatten(1).T[:, None]
        memory = torch.cat([m.tokens.values for m in self._memories], dim=1).transpose(0, 1)
        pointers = torch.zeros(4 * 2 * len(self._memories), 1, memory.shape[-1])
        memory = torch.cat([memory, pointers])
        output: torch.Tensor = module.memory_attention(
            curr=[tokens],
            curr_pos=[torch.zeros_like(tokens)],
            memory=memory,
            memory_pos=torch.zeros_like(memory),
            num_obj_ptr_tokens=len(pointers),
        )
        return output

    def decode(self) -> object:
        return self._model.decode(self._features, self._conditioned)

    def remember(self) -> Memory:
        return self._remember(1)

    def _remember(self, index: int) -> Memory:
        return self._model.remember(index, self._features, self._decoded, prompted=False)


def _alternate(actions: list[Callable[[], object]]) -> list[float]:
    """Median wall seconds of each action, run in turn after one round to warm up."""
    times: list[list[float]] = [[] for _ in actions]
    with torch.inference_mode():
        for number in range(ROUNDS + 1):
            for place, action in enumerate(actions):
                start = time.perf_counter()
                action()
                if number:
                    times[place].append(time.perf_counter() - start)
    return [statistics.median(t) for t in times]
