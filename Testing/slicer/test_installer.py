from __future__ import annotations

import base64
import hashlib
import platform
import re
import subprocess
import sys
import time
import tomllib
import types
import venv
import zipfile
from pathlib import Path

import psutil
import pytest
from compute_rooms import (
    REPOSITORY,
    Installer,
    Paths,
    Processes,
    PythonRunner,
    alive,
    launcher,
    settings_for,
)
from faults import wait_until
from packaging.specifiers import SpecifierSet

from medsam2.core.errors import CancelledError, EngineError, InputError

TINY = "medsam2-nothing"
"""A package that nobody has."""
FILE = f"""# a comment
# [engine]
numpy>=2.0
torch>=999
{TINY}>=1.0

# [server]
medsam2-nothing-either
"""
MODES = ["this-computer", "bundled-server"]


class Recorder:
    """A runner that writes down what it is asked, and lets the test say how it ended."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, module, arguments, onLine, onDone) -> None:
        self.asked.append((module, tuple(arguments)))
        self.line, self.done = onLine, onDone


@pytest.fixture
def requirements(tmp_path, monkeypatch):
    """The requirements' file of a test, in place of the real one."""
    path = tmp_path / "requirements.txt"
    path.write_text(FILE)
    monkeypatch.setattr(Paths, "resource", lambda _name: path)
    return path


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def settings():
    return settings_for("this-computer")


@pytest.fixture
def heard():
    return []


def names(found) -> list[str]:
    return [requirement.name for requirement in found]


def wanted(step) -> list[str]:
    """The packages that a step asks for, without those that it holds at their version."""
    return [a for a in step.arguments[1:] if not a.startswith("-") and "==" not in a]


def test_the_real_list_has_what_the_package_declares_and_pins_nothing():
    project = tomllib.loads((REPOSITORY / "server" / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {
        re.split("[<>=\\[]", entry)[0] for key in ("engine", "server") for entry in extras[key]
    }
    found = Installer.requirements("bundled-server")
    assert set(names(found)) == (declared - {"medsam2-slicer"}) | {"numpy"}
    assert all(re.fullmatch(r">=[0-9.]+", requirement.specifier) for requirement in found)
    assert set(names(Installer.requirements("this-computer"))) < set(names(found))


def test_nothing_that_slicer_itself_ships_is_replaced():
    """As of Slicer 5.10, by its SuperBuild/External_python-*.cmake."""
    shipped = {"numpy": "2.0.2", "requests": "2.32.3", "scipy": "1.13.1"}
    found = {r.name: SpecifierSet(r.specifier) for r in Installer.requirements("bundled-server")}
    assert {name: shipped[name] in found[name] for name in shipped} == dict.fromkeys(shipped, True)


def test_a_remote_server_needs_nothing():
    assert Installer.missing("remote-server") == []
    plan = Installer.makePlan("remote-server")
    assert plan.steps == ()
    assert plan.text == "Everything is installed."


def test_what_is_here_in_a_version_that_will_do_is_not_missing(requirements):
    assert names(Installer.missing("this-computer")) == ["torch", TINY]
    assert names(Installer.missing("bundled-server")) == ["torch", TINY, "medsam2-nothing-either"]


def test_the_question_tells_packages_size_and_what_the_size_rests_on(requirements):
    plan = Installer.makePlan("this-computer")
    assert plan.megabytes == 741
    assert f"torch, {TINY}" in plan.text
    assert "741 MB" in plan.text
    assert "measured on 64-bit Linux" in plan.text
    assert "several GB more" in plan.text


def test_torch_comes_first_and_what_slicer_ships_is_held(requirements):
    torch, others = Installer.makePlan("this-computer").steps
    assert (torch.module, wanted(torch)) == ("pip", ["torch>=999"])
    assert (others.module, wanted(others)) == ("pip", [f"{TINY}>=1.0"])
    held = [argument for argument in others.arguments if "==" in argument]
    assert any(re.fullmatch(r"numpy==2\.[0-9.]+", argument) for argument in held)
    assert not any(argument.startswith("torch==") for argument in held)


def test_the_pytorch_extensions_own_commands_choose_the_build_where_it_is_present(requirements):
    chooser, torch, others = Installer.makePlan("this-computer", pyTorchUtils=True).steps
    assert (chooser.module, wanted(chooser)) == ("pip", ["light-the-torch>=0.5"])
    assert (torch.module, torch.arguments) == ("light_the_torch", ("install", "torch>=999"))
    assert wanted(others) == [f"{TINY}>=1.0"]


@pytest.mark.parametrize("system", ["win32", "linux"])
@pytest.mark.parametrize("present", [True, False])
def test_on_windows_the_graphics_card_counts_also_without_the_extension(
    a_scene, monkeypatch, system, present
):
    import slicer

    monkeypatch.setattr(sys, "platform", system)
    if present:
        monkeypatch.setattr(slicer.modules, "pytorchutils", object(), raising=False)
    assert Installer.hasPyTorchUtils() == (present or system == "win32")


def test_without_a_network_everything_comes_from_a_folder(requirements, tmp_path):
    with pytest.raises(InputError, match="pip wheel"):
        Installer.makePlan("this-computer", wheels=tmp_path)
    (tmp_path / "a.whl").touch()
    (step,) = Installer.makePlan("this-computer", pyTorchUtils=True, wheels=tmp_path).steps
    assert step.module == "pip"
    assert "--no-index" in step.arguments
    assert step.arguments[step.arguments.index("--find-links") + 1] == str(tmp_path)
    assert {"torch>=999", f"{TINY}>=1.0"} < set(step.arguments)


def test_a_mac_is_told_that_torch_is_not_made_for_its_slicer(requirements, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(InputError, match=r"torch>=999 is not made .* choose a remote server"):
        Installer.makePlan("this-computer")
    assert Installer.makePlan("remote-server").steps == ()
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert Installer.makePlan("this-computer").steps


def test_steps_run_one_after_the_other_and_each_says_what_it_does(
    requirements, recorder, settings, heard
):
    results = []
    installer = Installer.Installer(recorder, settings)
    installer.install(Installer.makePlan("this-computer"), heard.append, results.append)
    assert len(recorder.asked) == 1
    recorder.line("Collecting torch")
    recorder.done(0)
    assert len(recorder.asked) == 2
    assert heard == ["Installing torch...", "Collecting torch", "Installing the model code..."]
    assert results == []
    requirements.write_text("# [engine]\nnumpy\n")
    recorder.done(0)
    assert results == [None]
    assert settings.pendingInstallation == ""


def test_a_failure_says_why_and_a_later_try_continues(requirements, recorder, settings, heard):
    results = []
    installer = Installer.Installer(recorder, settings)
    installer.install(Installer.makePlan("this-computer"), heard.append, results.append)
    recorder.line("ERROR: No matching distribution found for torch>=999")
    recorder.done(1)
    (error,) = results
    assert isinstance(error, EngineError)
    assert "No matching distribution found for torch>=999" in str(error)
    assert "folder of wheels" in str(error)
    assert len(recorder.asked) == 1

    assert Installer.Installer(recorder, settings).pending == "this-computer"
    requirements.write_text("# [engine]\nnumpy\n")
    assert Installer.Installer(recorder, settings).pending == ""


def test_a_folder_whose_name_is_too_long_is_no_matter_of_the_network(
    requirements, recorder, settings, heard
):
    results = []
    Installer.Installer(recorder, settings).install(
        Installer.makePlan("this-computer"), heard.append, results.append
    )
    recorder.line(
        "ERROR: Could not install packages due to an OSError: [WinError 206] The filename"
    )
    recorder.done(1)
    assert "install Slicer in a short one" in str(results[0])
    assert "network" not in str(results[0])


def test_an_installation_that_changed_nothing_asks_for_a_restart(
    requirements, recorder, settings, heard
):
    results = []
    installer = Installer.Installer(recorder, settings)
    installer.install(Installer.makePlan("this-computer"), heard.append, results.append)
    recorder.done(0)
    recorder.done(0)
    assert "restart Slicer" in str(results[0])
    assert installer.pending == "this-computer"


def test_a_cancelled_installation_is_not_offered_again(requirements, recorder, settings, heard):
    results = []
    installer = Installer.Installer(recorder, settings)
    installer.install(Installer.makePlan("this-computer"), heard.append, results.append)
    recorder.done(PythonRunner.CANCELLED)
    assert isinstance(results[0], CancelledError)
    assert installer.pending == ""


def test_a_loaded_torch_that_was_replaced_needs_a_restart(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(__version__="0.1"))
    assert Installer.restartNeeded()
    for name in ("torch", "torchvision"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert not Installer.restartNeeded()


def wheel(folder: Path) -> Path:
    """A wheel with one module, made by hand."""
    stem, info = "medsam2_nothing", "medsam2_nothing-1.5.dist-info"
    files = {
        f"{stem}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {TINY}\nVersion: 1.5\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = [f"{name},sha256={digest(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = folder / "medsam2_nothing-1.5-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def digest(text: str) -> str:
    made = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def polled(runner, until) -> None:
    """Lets a runner deliver, as a timer of the application would."""

    def over() -> bool:
        runner.poll()
        return until()

    wait_until(over, 120)


def test_a_wheel_is_really_installed_without_a_network_and_without_blocking(
    requirements, settings, tmp_path, monkeypatch, heard
):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = environment / folder / Path(sys.executable).name
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    monkeypatch.syspath_prepend(purelib)
    monkeypatch.setattr(Installer, "_SHIPPED", ())
    requirements.write_text(f"# [engine]\n{TINY}>=1.0\n")
    wheel(tmp_path)

    runner, results = PythonRunner.PythonRunner(python), []
    installer = Installer.Installer(runner, settings)
    plan = Installer.makePlan("this-computer", wheels=tmp_path)
    begun = time.perf_counter()
    installer.install(plan, heard.append, results.append)
    assert time.perf_counter() - begun < 0.5
    assert runner.busy
    with pytest.raises(RuntimeError, match="wait for it"):
        runner("pip", ["list"], heard.append, results.append)
    polled(runner, lambda: bool(results))
    assert results == [None]
    assert not runner.busy
    assert any("Successfully installed" in line for line in heard)
    said = subprocess.run(
        [python, "-c", "import medsam2_nothing; print(medsam2_nothing.ANSWER)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "42"
    assert Installer.missing("this-computer") == []


def test_an_interpreter_that_is_not_there_is_reported(requirements, settings, tmp_path, heard):
    results = []
    runner = PythonRunner.PythonRunner(tmp_path / "nothing")
    Installer.Installer(runner, settings).install(
        Installer.makePlan("this-computer"), heard.append, results.append
    )
    assert isinstance(results[0], EngineError)
    assert not runner.busy


def test_every_line_is_delivered_before_the_end(tmp_path, heard):
    numbers = tmp_path / "numbers.json"
    numbers.write_text(str(list(range(50_000))))
    runner, counts = PythonRunner.PythonRunner(Path(sys.executable)), []
    runner("json.tool", [str(numbers)], heard.append, lambda code: counts.append(len(heard)))
    deadline = time.monotonic() + 60
    while not counts and time.monotonic() < deadline:  # without a pause, to be there at the end
        runner.poll()
    assert counts == [50_002]


def test_what_runs_can_be_cancelled(heard):
    runner, codes = PythonRunner.PythonRunner(Path(sys.executable)), []
    runner("http.server", ["0", "--bind", "127.0.0.1"], heard.append, codes.append)
    runner.poll()
    assert codes == []
    runner.cancel()
    polled(runner, lambda: bool(codes))
    assert codes == [PythonRunner.CANCELLED]
    runner.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program on Windows")
def test_cancelling_ends_what_the_launcher_has_started_too(heard, tmp_path):
    runner, codes = PythonRunner.PythonRunner(launcher(tmp_path)), []
    runner("http.server", ["0", "--bind", "127.0.0.1"], heard.append, codes.append)
    (parent,) = [p for p in psutil.Process().children() if str(tmp_path) in " ".join(p.cmdline())]
    wait_until(lambda: bool(parent.children()), 10)
    (child,) = parent.children()
    runner.cancel()
    polled(runner, lambda: bool(codes))
    assert codes == [PythonRunner.CANCELLED]
    wait_until(lambda: not alive([child]), 5)


def test_no_shell_and_no_window_is_used_for_programs(heard):
    text = Path(Processes.__file__).read_text("utf-8")
    assert "shell=True" not in text
    assert "CREATE_NO_WINDOW" in text
