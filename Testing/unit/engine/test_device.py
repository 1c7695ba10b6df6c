from __future__ import annotations

import pytest
import torch

from medsam2.core.errors import DeviceError
from medsam2.engine.device import choose_compute, cpu_has_bf16


def test_auto_takes_a_device_that_is_there():
    compute = choose_compute()
    torch.zeros(1, device=compute.device, dtype=compute.dtype)


def test_precision_can_be_forced_and_auto_follows_the_processor():
    assert choose_compute("cpu", "fp32").dtype is torch.float32
    assert choose_compute("cpu", "bf16").dtype is torch.bfloat16
    fast = choose_compute("cpu", "auto").dtype is torch.bfloat16
    assert fast is cpu_has_bf16()


def test_on_a_processor_objects_are_tracked_one_by_one_so_that_they_stay_independent():
    assert choose_compute("cpu").object_batch == 1


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "meta", "xpu"])
def test_a_device_that_is_not_there_says_what_to_take(name):
    with pytest.raises(DeviceError, match="cpu"):
        choose_compute(name)
