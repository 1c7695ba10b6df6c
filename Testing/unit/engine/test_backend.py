from __future__ import annotations

import pytest
from phantoms import moving_ball
from tiny_engine import backend_for

from medsam2.core.backend import Backend, SessionOptions
from medsam2.core.errors import DeviceError, SessionClosedError
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.engine.backend import LocalBackend
from medsam2.models.load import load_model

PROMPTS = ObjectPrompts((BoxPrompt(6, (20, 20, 44, 44)),))


@pytest.mark.parametrize("name", ["tiny-random", "tiny-random-chain"])
def test_a_backend_says_which_model_it_is_and_what_it_takes(name):
    backend = backend_for(name)
    assert isinstance(backend, Backend)
    assert backend.model.name == name
    assert backend.model.device == "cpu"
    assert ("point" in backend.model.prompts) is (name == "tiny-random")


def test_sessions_on_the_same_volume_share_encoded_slices():
    backend = backend_for()
    volume, _ = moving_ball()
    for _ in range(2):
        with backend.open(volume) as session:
            session.put(1, PROMPTS)
            assert len(list(session.propagate())) > 0
    assert backend.features.encoded == volume.shape_kji[0]


def test_two_backends_of_the_same_model_give_the_same_masks():
    volume, _ = moving_ball()
    masks = []
    for _ in range(2):
        with backend_for().open(volume) as session:
            session.put(1, PROMPTS)
            list(session.propagate())
            masks.append(session.mask_kji(1).tobytes())
    assert masks[0] == masks[1]


def test_the_window_in_force_is_told():
    with backend_for().open(moving_ball()[0], SessionOptions(window="lung")) as session:
        assert session.window.name == "lung"
        assert session.options.window == "lung"


def test_a_closed_backend_opens_nothing():
    backend = backend_for()
    backend.close()
    backend.close()
    with pytest.raises(SessionClosedError):
        backend.open(moving_ball()[0])


def test_a_device_that_is_not_there_is_an_error():
    with pytest.raises(DeviceError):
        LocalBackend(load_model("tiny-random"), "cuda:42")
