"""What goes wrong in the middle: it is said, nothing else breaks, and work goes on."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import numpy as np
import pytest
import standin
from certificates import Authority
from compute_rooms import answering, send
from fake_backend import FakeBackend
from module_script import Script, noise, slowly
from module_user import User
from server_process import ServerProcess, running

from medsam2.core.errors import OutOfMemoryError
from medsam2.wire import routes, strict
from medsam2.wire.messages import ServerInfo, WireModel

BOX = (3, 2, 2, 12, 10, 12)
"""Inclusive ``i0, j0, k0, i1, j1, k1``."""


def test_a_cancel_takes_effect_within_one_slice(a_scene):
    begun = []

    def on_slice(index):
        begun.append(index)
        time.sleep(0.02)

    script = Script(a_scene, noise(a_scene), lambda: FakeBackend(on_slice=on_slice))
    script.box(BOX)
    script.settle()
    before = script.state()
    script.logic.segment()
    run = script.logic.run
    script.idle(until=lambda: run.progress.done >= 3)
    count = len(begun)
    script.logic.cancel()
    script.idle()
    assert len(begun) <= count + 1
    assert "Cancelled" in script.messages[-1]
    script.settle()
    assert script.workspace.locked(script.segment_id) == set()
    script.do("undo")
    assert script.state() == before
    script.do("redo")
    script.run()
    assert script.slices()[2:13].any(axis=(1, 2)).all()
    script.close()


def test_a_run_that_is_cancelled_before_its_first_slice_changes_nothing(a_scene):
    script = Script(a_scene, noise(a_scene), slowly)
    script.box(BOX)
    script.settle()
    before = script.state()
    script.logic.segment()
    script.logic.cancel()
    script.idle()
    assert script.state() == before
    assert script.failures == []
    script.close()


@pytest.mark.parametrize("where", ["connecting", "sending"])
def test_a_cancel_does_not_wait_for_a_worker_that_still_connects_or_sends(a_scene, where):
    goOn, waits = threading.Event(), []

    def wait(at):
        if at == where and not waits:
            waits.append(at)
            assert goOn.wait(60)

    class Slow(FakeBackend):
        def open(self, volume, options=None):
            wait("sending")
            return super().open(volume, options)

    def backend():
        wait("connecting")
        return Slow()

    script = Script(a_scene, noise(a_scene), backend)
    script.box(BOX)
    script.settle()
    before = script.state()
    script.logic.segment()
    script.idle(until=lambda: waits)
    script.logic.cancel()
    script.idle(until=lambda: script.logic.run is None)
    assert script.messages == ["Cancelled; no slice was changed."]
    script.logic.segment()
    goOn.set()
    script.idle()
    assert script.messages[1:] == [script.messages[-1]]
    assert script.messages[-1].startswith("11 slices")
    script.do("undo")
    assert script.state() == before
    assert script.failures == []
    script.close()


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("Take a smaller model."), RuntimeError("a defect")]
)
def test_a_run_that_fails_in_the_middle_is_one_step_and_the_next_one_works(a_scene, error):
    at = [7]

    def on_slice(index):
        if at and index == at[0]:
            raise at.pop() and error

    script = Script(a_scene, noise(a_scene), lambda: FakeBackend(on_slice=on_slice))
    script.box((3, 2, 2, 12, 10, 8))
    script.settle()
    before = script.state()
    script.run()
    assert [str(one) for one in script.failures] == [str(error)]
    assert 0 < script.slices().any(axis=(1, 2)).sum() < 7
    script.do("undo")
    assert script.state() == before
    script.run()
    assert script.slices()[2:9].any(axis=(1, 2)).all()
    assert len(script.failures) == 1
    script.close()


@pytest.fixture
def a_user(a_slicer, a_volume):
    user = User(a_slicer, lambda: slowly(0.02))
    user.choose(a_volume("axial"))
    user.draw_box(12, (8, 10, 32, 38), (4, 20))
    return user


def in_the_middle(user):
    """Starts a run; returns it when some slices are there."""
    user.press("segment")
    run = user.logic.run
    assert standin.pump(20, until=lambda: run.progress.done >= 3)
    return run


def works(user, volume):
    """A volume can be segmented, as if nothing had happened."""
    user.logic.compute = type(user.logic.compute)(FakeBackend)
    user.choose(volume)
    user.draw_box(12, (8, 10, 32, 38), (10, 14))
    user.run()
    assert user.masks()[12].any()


def remove_volume(user):
    user.slicer.scene.RemoveNode(user.logic.parameters.volume)


def remove_segmentation(user):
    user.slicer.scene.RemoveNode(user.logic.parameters.segmentation)


def remove_segment(user):
    segmentation = user.logic.parameters.segmentation.GetSegmentation()
    segmentation.RemoveSegment(user.segment_id)


def remove_voxels(user):
    user.logic.parameters.volume.SetAndObserveImageData(None)


def change_voxels(user):
    import slicer

    slicer.util.arrayFromVolume(user.logic.parameters.volume)[:] //= 2
    slicer.util.arrayFromVolumeModified(user.logic.parameters.volume)


def move_volume(user):
    transform = standin.volumes.add_transform(user.slicer.scene)
    user.logic.parameters.volume.SetAndObserveTransformNodeID(transform.GetID())


def close_scene(user):
    user.slicer.close_scene()


def choose_nothing(user):
    user.ui.volumeSelector.setCurrentNode(None)


GOING = [
    remove_volume,
    remove_segmentation,
    remove_segment,
    remove_voxels,
    change_voxels,
    move_volume,
    close_scene,
    choose_nothing,
]


@pytest.mark.parametrize("going", GOING)
def test_what_goes_away_in_the_middle_of_a_run_ends_it_and_work_goes_on(a_user, a_volume, going):
    in_the_middle(a_user)
    going(a_user)
    assert standin.pump(10, until=lambda: a_user.logic.run is None)
    standin.pump(0.5)
    assert "inside (" not in a_user.ui.statusLabel.text
    works(a_user, a_volume("sagittal"))


TOOLS = ["drawBox", "inside", "lasso", "", "line", "scribble", "drawBox", "inside"]


@pytest.mark.parametrize(("going", "tool"), list(zip(GOING, TOOLS, strict=True)))
def test_what_goes_away_between_runs_does_no_harm(a_user, a_volume, going, tool):
    if tool:
        a_user.press(tool)
        a_user.click(12, (6, 7))
    going(a_user)
    standin.pump(0.5)
    a_user.view.tools.stop()
    standin.pump(0.5)
    assert "inside (" not in a_user.ui.statusLabel.text
    works(a_user, a_volume("sagittal"))


def test_voxels_that_change_in_the_middle_end_the_run_with_a_step_to_undo(a_user):
    before = a_user.masks()
    in_the_middle(a_user)
    change_voxels(a_user)
    assert standin.pump(10, until=lambda: a_user.logic.run is None)
    assert "Stopped: the volume" in said(a_user)
    made = a_user.masks()
    assert any(mask.any() for mask in made.values())
    assert not a_user.workspace.locked(a_user.segment_id)
    a_user.press("undo")
    a_user.settle()
    assert all(np.array_equal(mask, before[index]) for index, mask in a_user.masks().items())


def said(user):
    """The status line, as soon as it is up to date."""
    standin.pump(0.2)
    return user.ui.statusLabel.text


def test_a_run_goes_on_while_the_user_is_in_another_module(a_user):
    in_the_middle(a_user)
    a_user.loaded.exit()
    assert standin.pump(20, until=lambda: a_user.logic.run is None)
    a_user.loaded.enter()
    a_user.settle()
    assert all(mask.any() for index, mask in a_user.masks().items() if 6 <= index <= 18)
    a_user.press("undo")
    a_user.settle()
    assert not any(mask.any() for mask in a_user.masks().values())


def test_the_preview_does_not_follow_the_user_into_another_module(a_user):
    a_user.view_showing(12)
    assert standin.pump(10, until=lambda: a_user.view.preview.mask_rc is not None)
    a_user.loaded.exit()
    standin.pump(0.5)
    assert a_user.view.preview.mask_rc is None
    a_user.loaded.enter()
    assert standin.pump(10, until=lambda: a_user.view.preview.mask_rc is not None)


@pytest.mark.parametrize("action", ["segment", "undo", "redo", "inside", "useSlice", "addSegment"])
def test_keys_and_calls_without_a_volume_say_what_is_missing(a_slicer, action):
    user = User(a_slicer, FakeBackend)
    user.view._actions()[action]()
    standin.pump(0.3)
    assert "Load a volume" in said(user)


def test_a_box_beside_the_volume_is_told_at_the_button_and_harms_nothing(a_user):
    roi = a_user.workspace.prompts.roi(a_user.segment_id)
    roi.SetCenterWorld(900.0, 900.0, 900.0)
    a_user.settle()
    assert "Ready" in said(a_user)
    a_user.run()
    assert "outside the volume" in said(a_user)
    assert not any(mask.any() for mask in a_user.masks().values())


def test_clicks_outside_alone_are_told_at_the_button(a_user):
    a_user.press("removePrompts")
    a_user.settle()
    a_user.press("outside")
    a_user.click(12, (6, 7))
    a_user.view.tools.stop()
    a_user.settle()
    a_user.run()
    assert "add one inside" in said(a_user)


# Servers


@pytest.fixture(scope="module")
def a_server():
    """A server on another machine, as it were, with room for one job."""
    with running(limits={"queue": 1}, env={**os.environ, "SLICE_S": "0.05"}) as made:
        yield made


@pytest.fixture
def a_remote_user(a_slicer, a_volume, monkeypatch):
    """A user whose panel computes on a remote server; ``connect`` says which."""
    from MedSAM2SlicerLib import Backends
    from MedSAM2SlicerLib.Settings import REMOTE_SERVER

    monkeypatch.setattr(Backends, "REMOTE_PATIENCE_SECONDS", 0.5)
    user = User(a_slicer)
    settings = user.panel.settings
    settings.mode = REMOTE_SERVER
    user.ui.livePreviewCheckBox.checked = False

    def connect(url, token="t" * 43, **values):
        settings.serverUrl, settings.token = url, token
        for name, value in values.items():
            setattr(settings, name, value)
        user.panel._onSettings()
        user.choose(a_volume("axial"))
        user.draw_box(12, (8, 10, 32, 38), (8, 16))

    user.connect = connect
    return user


def refusal(user):
    """What the status line says of a run that can't be; there is no popup and no mask."""
    user.run()
    assert not any(mask.any() for mask in user.masks().values())
    assert user.slicer.messages == []
    return said(user)


def test_a_wrong_token_is_told_with_where_to_enter_the_right_one(a_remote_user, a_server):
    a_remote_user.connect(a_server.url)
    text = refusal(a_remote_user)
    assert "does not know the token" in text
    assert "entered under Compute" in text


def test_a_wrong_certificate_is_told_with_what_to_choose(a_remote_user, tmp_path):
    own, other = Authority(tmp_path, "own"), Authority(tmp_path, "other")
    pair = own.pair("server")
    with running(certificate=pair.certificate, key=pair.key) as server:
        a_remote_user.connect(server.url, server.token, caFile=str(other.file))
        assert "as CA file under Compute" in refusal(a_remote_user)
        a_remote_user.panel.settings.caFile = str(own.file)
        a_remote_user.panel._onSettings()
        a_remote_user.run()
        assert a_remote_user.masks()[12].any()
        assert "slices in" in said(a_remote_user)


def test_an_old_protocol_is_told_with_what_to_update(a_remote_user):
    model = WireModel("fake", ("box",), "cpu", "0" * 64, "Apache-2.0")
    body = strict.to_json(ServerInfo("0.9", "0.1", "0" * 32, model, ("raw",), 1 << 30))

    def answer(handler):
        echo = {"X_Request_Id": handler.headers[routes.REQUEST], "X_Protocol": "0.9"}
        send(handler, body, Content_Type=routes.JSON, **echo)

    with answering(answer) as url:
        a_remote_user.connect(url)
        text = refusal(a_remote_user)
    assert "0.9" in text
    assert "Update this extension" in text


def test_a_server_that_nobody_runs_is_told_with_what_to_check(a_remote_user):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        a_remote_user.connect(f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert "Check that it runs" in refusal(a_remote_user)


def test_a_full_queue_is_told_with_what_to_do(a_remote_user, a_server):
    from phantoms import moving_ball

    from medsam2.client.backend import RemoteBackend
    from medsam2.core.backend import SessionOptions
    from medsam2.core.prompts import BoxPrompt, ObjectPrompts

    volume, _ = moving_ball((60, 64, 64), drift=0.1)
    busy = contextlib.closing(RemoteBackend(a_server.url, a_server.token))
    with busy as backend, backend.open(volume, SessionOptions(stop_after_empty=0)) as session:
        session.put(1, ObjectPrompts((BoxPrompt(30, (16, 16, 48, 48)),)))
        stream = session.propagate()
        next(stream)
        a_remote_user.connect(a_server.url, a_server.token)
        text = refusal(a_remote_user)
        stream.close()
    assert "try again" in text
    assert "compute on this computer" in text
    a_remote_user.run()
    assert a_remote_user.masks()[12].any()


def test_a_server_killed_in_mid_run_is_told_and_the_result_goes_on_once_it_is_back(a_remote_user):
    user = a_remote_user
    with ServerProcess(env={**os.environ, "SLICE_S": "0.05"}) as server:
        server.wait_ready()
        user.connect(server.url, server.token)
        prompts = user.workspace.objectPrompts(user.segment_id)
        with FakeBackend().open(user.workspace.volume.snapshotLater()()) as session:
            session.put(1, prompts)
            expected = {one.index: one.mask_rc.unpack() for one in session.propagate()}
        user.press("segment")
        run = user.logic.run
        assert standin.pump(20, until=lambda: run.progress.done >= 2)
        server.kill()
        assert standin.pump(20, until=lambda: user.logic.run is None)
        assert "nothing is lost" in said(user)
        some = {index: mask for index, mask in user.masks().items() if mask.any()}
        assert 2 <= len(some) < len(expected)
        assert all(np.array_equal(mask, expected[index]) for index, mask in some.items())
        server.restart()
        server.wait_ready()
        user.run()
        assert "slices in" in said(user)
        assert all(np.array_equal(user.masks()[n], mask) for n, mask in expected.items())
