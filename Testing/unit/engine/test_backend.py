from __future__ import annotations

import numpy as np
import pytest
from phantoms import moving_ball
from tiny_engine import backend_for

from medsam2.core.backend import Backend, SessionOptions
from medsam2.core.errors import DeviceError, InputError, SessionClosedError
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.core.volume import Volume
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


@pytest.mark.parametrize("name", ["tiny-random", "tiny-random-chain"])
def test_a_backend_tells_the_weights_and_their_licence(name):
    loaded = load_model(name)
    info = LocalBackend(loaded, "cpu", "fp32").model
    assert info.weights_sha256 == loaded.weights_sha256
    assert info.license == "Apache-2.0"
    assert info.prompts == loaded.card.prompts


def test_volumes_of_equal_voxels_share_encoded_slices_and_others_do_not():
    backend = backend_for("tiny-random-chain")
    volume, _ = moving_ball()
    copy = Volume(volume.voxels_kji.copy(), volume.affine_ijk_to_ras, name="a copy")
    for one, encoded in ((volume, 12), (copy, 12), (moving_ball(seed=1)[0], 24)):
        with backend.open(one, SessionOptions(stop_after_empty=0)) as session:
            session.put(1, PROMPTS)
            assert len(list(session.propagate())) == 12
        assert backend.features.encoded == encoded


def test_closing_frees_the_features_and_says_what_to_do_next():
    backend = backend_for()
    with backend.open(moving_ball()[0]) as session:
        session.put(1, PROMPTS)
        session.predict(1, 6)
    assert backend.features.used_bytes > 0
    backend.close()
    assert backend.features.used_bytes == 0
    assert backend.model.name == "tiny-random"
    with pytest.raises(SessionClosedError, match="make a new one"):
        backend.open(moving_ball()[0])


def test_the_window_is_chosen_by_what_the_volume_shows_unless_it_is_given():
    backend, affine = backend_for(), np.eye(4)
    ball = moving_ball()[0]
    hounsfield = Volume(ball.voxels_kji.astype(np.int16) * 8 - 1000, affine)
    magnetic = Volume(ball.voxels_kji.astype(np.float32) * 3, affine, modality="MR")
    names = [backend.open(v).window.name for v in (ball, hounsfield, magnetic)]
    assert names == ["8-bit", "abdomen", "percentile"]
    given = Window(10, 90)
    assert backend.open(ball, SessionOptions(window=given)).window is given
    with pytest.raises(InputError, match="No window is called 'kidney'"):
        backend.open(ball, SessionOptions(window="kidney"))


def test_a_session_is_opened_with_plain_options_or_the_given_ones():
    backend, volume = backend_for(), moving_ball((8, 40, 48))[0]
    assert backend.open(volume).options == SessionOptions()
    options = SessionOptions(SliceAxis.I, stop_after_empty=0)
    with backend.open(volume, options) as session:
        assert session.options is options
        assert session.volume is volume
        session.put(1, ObjectPrompts((BoxPrompt(40, (1, 10, 6, 30)),)))
        assert session.plan() == 48
        assert session.predict(1, 40).mask_rc.shape_rc == (8, 40)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_the_number_format_can_be_chosen_and_both_segment(precision, dtype):
    backend = LocalBackend(load_model("tiny-random"), "cpu", precision)
    assert str(backend.compute.dtype) == f"torch.{dtype}"
    with backend.open(moving_ball()[0]) as session:
        session.put(1, PROMPTS)
        assert session.predict(1, 6).mask_rc.unpack().any()


def test_a_device_without_meaning_is_an_error_that_lists_the_devices():
    with pytest.raises(DeviceError, match="auto, cpu, cuda, cuda:N or mps"):
        LocalBackend(load_model("tiny-random"), "toaster")
