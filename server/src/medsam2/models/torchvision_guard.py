"""Lets ``timm`` be imported where torchvision's binary does not match torch.

timm imports torchvision, and torchvision's Python code describes its operators ``nms`` and
``qnms`` to torch as it is imported. Where its binary can't be loaded (one built for another torch,
or for CUDA beside a CPU build of torch) those operators do not exist and the import fails. Nothing
here ever calls them, so a declaration without an implementation is all that the import needs.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from pathlib import Path

import torch

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")


def import_timm() -> None:
    """Imports timm, on any build of torchvision, without its notices of deprecation.

    Raises:
        ImportError: timm is not installed.
    """
    declare_missing_operators()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
        import timm.models.layers
        import timm.models.registry  # noqa: F401


@functools.cache
def declare_missing_operators() -> tuple[str, ...]:
    """Declares those of torchvision's operators that its import needs and its binary lacks.

    Returns:
        the names declared; empty where the binary is sound or torchvision is not installed.
    """
    _load_binary()
    missing = tuple(name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name))
    if missing and importlib.util.find_spec("torchvision") is not None:
        for name in missing:
            _library().define(name + _NMS)  # type: ignore[no-untyped-call]
        return missing
    return ()


@functools.cache
def _library() -> torch.library.Library:
    """Kept for the life of the process: the declarations go when it goes."""
    return torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


def _load_binary() -> None:
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for suffix in ("_C.so", "_C.pyd", "_C.dylib"):
            binary = Path(folder) / suffix
            if binary.is_file():
                try:
                    torch.ops.load_library(str(binary))  # type: ignore[no-untyped-call]
                except (OSError, ImportError):
                    return
