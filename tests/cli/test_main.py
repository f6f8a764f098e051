"""The command line as a whole: help, version, wrong words, and how fast it answers."""

import subprocess
import sys
import time

import pytest

import refinefuse
from refinefuse.cli import COMMANDS
from refinefuse.cli.session import insisting
from refinefuse.errors import MissingDependencyError, optional
from refinefuse.weights.store import shipped


def test_help_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"refinefuse {command}" in out
    assert "<class" not in out


def test_no_words_is_wrong_use(run):
    assert run()[0] == 2


def test_version(run):
    assert run("--version") == (0, f"refinefuse {refinefuse.__version__}\n", "")


def test_unknown_command_lists_the_known_ones(run):
    code, _, err = run("fues")
    assert code == 2
    assert "fuse" in err


def test_unknown_option_is_wrong_use(run):
    code, _, err = run("doctor", "--commandose")
    assert code == 2
    assert "--commandose" in err


def test_debug_shows_the_traceback_and_keeps_the_code(run):
    code, _, err = run("fuse", "no.png", "none.png", "-o", "no", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert "InputError: Cannot write 'no'" in err


def test_doctor(run):
    code, out, _ = run("doctor")
    assert code == 0
    words = out.split()
    for word in ("torch", "cpu", *shipped(), "train"):
        assert word in words


@pytest.mark.parametrize(("policy", "warned"), [("passive", False), ("ACTIVE", True)])
def test_doctor_warns_of_threads_that_spin(run, monkeypatch, policy, warned):
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    assert ("warning: waiting threads" in run("doctor")[1]) == warned


def test_help_and_import_do_not_load_torch():
    program = (
        "import sys, refinefuse; from refinefuse.cli import main; main(['--help']); main(['--version']);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_does_not_load_torch(command):
    program = (
        f"import sys; from refinefuse.cli import parser_of; parser_of({command!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_reader_that_goes_away_is_no_error():
    shell = f"set -o pipefail; {sys.executable} -m refinefuse --help 2>&1 | true"
    done = subprocess.run(["/bin/bash", "-c", shell], capture_output=True, text=True)
    assert "Traceback" not in done.stdout + done.stderr


def test_module_runs_as_a_program(process):
    running = process("--version")
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, f"refinefuse {refinefuse.__version__}\n")


@pytest.mark.parametrize(("module", "library"), [("lightning.part", "lightning"), ("pywt", "pywavelets")])
def test_a_missing_library_is_named_with_its_extra(module, library):
    expected = rf"Training needs {library}.*\n.*refinefuse\[train\]"
    with pytest.raises(MissingDependencyError, match=expected), optional("train", "Training"):
        raise ModuleNotFoundError(name=module)


@pytest.mark.parametrize("error", [ModuleNotFoundError("ours", name="refinefuse.lost"), ImportError("broken")])
def test_a_broken_library_is_no_missing_one(error):
    with pytest.raises(type(error), match=str(error)) as raised, optional("train", "Training"):
        raise error
    assert not isinstance(raised.value, MissingDependencyError)


def test_an_interruption_that_python_ignores_comes_again():
    class Callback:
        def __del__(self):
            raise KeyboardInterrupt

    def work():
        Callback()
        for _ in range(1000):
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), insisting():
        work()
