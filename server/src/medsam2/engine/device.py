"""Which processor to compute on, and in which number format."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import platform

import torch

from medsam2.core.errors import DeviceError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEEP_BYTES, _PAD_BYTES = 1 << 30, 64 << 20


@dataclasses.dataclass(frozen=True)
class Compute:
    """Where and how to compute.

    Args:
        device: torch's device.
        dtype: number format of the heavy parts (encoder, memory attention) and of kept features.
        encoder_batch: slices encoded at once; only a GPU gains from more than one.
        object_batch: objects tracked at once; 1 keeps objects bit-independent of one another.
        feature_bytes: how much may be kept of encoded slices.
    """

    device: torch.device
    dtype: torch.dtype
    encoder_batch: int = 1
    object_batch: int = 1
    feature_bytes: int = 640 << 20

    def autocast(self) -> torch.autocast:
        """A context in which torch picks the format of each operation; idle in float32."""
        enabled = self.dtype is not torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=enabled)


def choose_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """Picks a device (``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``) and a number format.

    ``auto`` precision is bfloat16 where the hardware multiplies it (a GPU with it, or a CPU with
    AVX512-BF16 or AMX) and float32 elsewhere; ``fp32`` and ``bf16`` force one.

    Raises:
        DeviceError: the device isn't there.
    """
    name = _auto_device() if device == "auto" else device
    chosen = _checked_device(name)
    if chosen.type == "cpu":
        keep_freed_memory()
    fast_bf16 = _has_fast_bf16(chosen)
    dtype = torch.bfloat16 if precision == "bf16" or (precision == "auto" and fast_bf16) else None
    if chosen.type == "cuda":
        return Compute(chosen, dtype or torch.float32, 8, 16, _cuda_budget(chosen))
    return Compute(chosen, dtype or torch.float32)


def _auto_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _checked_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        msg = f"No device is called {name!r}; take auto, cpu, cuda, cuda:N or mps."
        raise DeviceError(msg) from None
    missing = {
        "cuda": not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count(),
        "mps": not torch.backends.mps.is_available(),
        "cpu": False,
    }
    if missing.get(device.type, True):
        msg = f"The device {name} is not available here; take --device cpu, or auto."
        raise DeviceError(msg)
    return device


def _cuda_budget(device: torch.device) -> int:
    return min(8 << 30, int(torch.cuda.get_device_properties(device).total_memory * 0.25))


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_bf16()


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16 or AMX)."""
    has_avx512 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return bool(has_avx512() or has_amx())


@functools.cache
def keep_freed_memory() -> None:
    """Tells glibc to reuse freed blocks rather than return them to the system.

    Activations of tens of megabytes are freed and taken again for every slice; by default each goes
    back to the kernel and comes again page by page, which cost a quarter of the encoder's time.
    Other C libraries have no such setting and are left alone.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TOP_PAD, _PAD_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def release_freed_memory() -> None:
    """Gives back to the system what lies free between blocks in use.

    Now and then this keeps a long run from growing; it costs a millisecond.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
