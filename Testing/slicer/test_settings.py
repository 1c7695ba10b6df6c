from __future__ import annotations

import subprocess
import sys

import pytest
from compute_rooms import MODULE, Settings, TextStore

from medsam2.core.errors import InputError

TOKEN = "a-token-of-the-tests"
KEY = "MedSAM2Slicer/ServerToken"


@pytest.fixture(params=["text", "QSettings"])
def store(request, tmp_path):
    if request.param == "text":
        return TextStore()
    core = pytest.importorskip("PySide6.QtCore", reason="PySide6 is absent: no real QSettings")
    return core.QSettings(str(tmp_path / "settings.ini"), core.QSettings.Format.IniFormat)


@pytest.fixture
def settings(store):
    return Settings.Settings(store)


def again(settings):
    """What another start of Slicer finds."""
    if hasattr(settings.store, "sync"):
        settings.store.sync()
        fresh = type(settings.store)(settings.store.fileName(), settings.store.format())
        return Settings.Settings(fresh)
    return Settings.Settings(settings.store)


def test_a_fresh_computer_computes_here_with_the_model_that_needs_no_download(settings):
    assert (settings.mode, settings.model, settings.device) == (
        "this-computer",
        "litemedsam",
        "auto",
    )
    assert settings.featureCacheMegabytes == 0
    assert not any((settings.allowPlainHttp, settings.rememberToken, settings.downloadsAllowed))
    assert settings.serverUrl == settings.token == settings.caFile == ""
    settings.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "remote-server"),
        ("serverUrl", "https://seg.example:1527"),
        ("allowPlainHttp", True),
        ("model", "custom"),
        ("model", "sam2.1-tiny"),
        ("checkpointArchitecture", "medsam2-latest"),
        ("device", "cuda:1"),
        ("downloadsAllowed", True),
        ("featureCacheMegabytes", 512),
        ("pendingInstallation", "this-computer"),
    ],
)
def test_what_is_chosen_is_there_after_a_restart(settings, name, value):
    setattr(settings, name, value)
    assert getattr(again(settings), name) == value


def test_files_are_kept_when_they_exist(settings, tmp_path):
    path = tmp_path / "ca.pem"
    path.touch()
    settings.caFile = settings.checkpointPath = str(path)
    assert again(settings).caFile == again(settings).checkpointPath == str(path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mode", "the cloud", "this-computer, bundled-server, remote-server"),
        ("serverUrl", "seg.example", "https://host:1527"),
        ("serverUrl", "https://me:secret@seg.example", "give the token apart"),
        ("caFile", "nothing.pem", "choose it again"),
        ("checkpointPath", "nothing.pt", "choose it again"),
        ("model", "sam2.1-tini", "did you mean sam2.1-tiny"),
        ("checkpointArchitecture", "custom", "no model"),
        ("device", "gpu", "cuda:N"),
        ("featureCacheMegabytes", 5, "64 to"),
        ("featureCacheMegabytes", "much", "0 lets the engine choose"),
        ("token", "two words", "copy it again"),
    ],
)
def test_what_can_not_be_used_is_refused_with_what_to_do_and_changes_nothing(
    settings, name, value, said
):
    before = getattr(settings, name)
    with pytest.raises(InputError) as caught:
        setattr(settings, name, value)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert getattr(settings, name) == getattr(again(settings), name) == before


def test_nonsense_that_was_stored_by_hand_counts_as_nothing(settings):
    for key in ("Mode", "Model", "Device", "FeatureCacheMegabytes"):
        settings.store.setValue(f"MedSAM2Slicer/{key}", "nonsense")
    assert (settings.mode, settings.model, settings.device) == (
        "this-computer",
        "litemedsam",
        "auto",
    )
    assert settings.featureCacheMegabytes == 0


def test_the_token_stays_in_memory_unless_it_may_be_remembered(settings):
    settings.token = f" {TOKEN}\n"
    assert settings.token == TOKEN
    assert not settings.store.contains(KEY)
    settings.rememberToken = True
    assert again(settings).token == TOKEN
    settings.rememberToken = False
    assert not settings.store.contains(KEY)
    assert settings.token == TOKEN
    settings.store.setValue(KEY, "left-over")
    assert again(settings).token == ""


def remote(settings, url: str) -> None:
    settings.mode, settings.serverUrl, settings.token = "remote-server", url, TOKEN


def test_images_leave_the_computer_unencrypted_only_when_that_is_allowed(settings):
    remote(settings, "http://seg.example:1527")
    with pytest.raises(InputError, match="unencrypted"):
        settings.check()
    settings.allowPlainHttp = True
    settings.check()
    settings.allowPlainHttp, settings.serverUrl = False, "http://127.0.0.1:1527"
    settings.check()


def test_what_is_still_to_be_entered_is_named(settings):
    settings.mode = "remote-server"
    with pytest.raises(InputError, match="enter its address"):
        settings.check()
    settings.serverUrl = "https://seg.example"
    with pytest.raises(InputError, match="No token"):
        settings.check()
    settings.mode, settings.model = "bundled-server", "custom"
    with pytest.raises(InputError, match="No checkpoint"):
        settings.check()


def test_a_snapshot_stays_as_it_was_and_stores_nothing(settings, store):
    remote(settings, "https://seg.example")
    settings.featureCacheMegabytes = 256
    held = settings.snapshot()
    settings.mode, settings.serverUrl, settings.token = "this-computer", "", ""
    settings.featureCacheMegabytes = 0
    assert (held.mode, held.serverUrl, held.token) == (
        "remote-server",
        "https://seg.example",
        TOKEN,
    )
    assert held.featureCacheMegabytes == 256
    held.device = "cpu"
    assert settings.device == "auto"


def test_reading_the_settings_loads_neither_the_engine_nor_a_client():
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r}); "
        "from MedSAM2SlicerLib import Backends, Installer, ModelCache, ServerProcess, Settings; "
        "print(sorted({'medsam2', 'numpy', 'requests', 'torch', 'qt', 'slicer'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
