"""The command line: quick to answer, and its exit says how it went."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from avel_tf import __version__
from avel_tf.cli.main import COMMANDS, INTERRUPTED, main
from tests.conftest import QUICK_TRAINING, as_set

HEAVY = ("tensorflow", "keras", "cv2", "numpy", "av", "librosa", "matplotlib", "pydantic")
ASK = f"""
import sys
from avel_tf.cli.main import main
code = main(sys.argv[1:])
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
sys.exit(code)
"""


def ask(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", ASK, *words], capture_output=True, text=True)


@pytest.mark.parametrize("words", [["--help"], ["infer", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(words):
    """Hence it comes at once."""
    done = ask(*words)
    assert done.returncode == 0, done.stderr
    assert "usage: avel" in done.stdout


def test_help_names_every_command_and_the_exit_codes(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^ +{name} ", text, re.MULTILINE)
    assert "130 interrupted" in text


def test_every_command_has_its_help(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert f"usage: avel {name}" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"avel-tf {__version__}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage: avel"),
        (["nonsense"], "usage: avel"),
        (["infer"], "Expected a PATH"),
        (["infer", "--model", "m"], "Expected a PATH"),
        (["train", "x", "--bad"], "usage: avel"),
    ],
)
def test_a_wrong_command_line_is_one(words, message, capsys):
    assert main(words) == 1
    assert message in capsys.readouterr().err


WRONG_SETTINGS = {
    "training.epohcs=3": "Unknown setting training.epohcs. Did you mean 'epochs'?",
    "training.epochs=many": "training.epochs must be a whole number",
    "modle.name=avel": "Did you mean 'model'?",
}


@pytest.mark.parametrize("setting", WRONG_SETTINGS)
@pytest.mark.parametrize(
    "words",
    [
        ["extract", "data", "--out", "out"],
        ["train", "data", "--out", "out"],
        ["infer", "data", "--model", "m", "--out", "out"],
        ["audit", "data"],
    ],
    ids=lambda words: words[0],
)
def test_a_wrong_setting_is_one_sentence_and_one(words, setting, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--set", setting]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"avel {words[0]}: ") and WRONG_SETTINGS[setting] in error
    assert "Traceback" not in error and not list(tmp_path.iterdir())


def test_a_configuration_file_that_is_not_there(capsys):
    assert main(["extract", "data", "--out", "out", "--config", "none.yaml"]) == 1
    assert "none.yaml cannot be read" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch):
    """Only what a user can mend is made into a sentence."""
    from avel_tf.cli import audit

    def broken(options: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(audit, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["audit", "data"])


def test_an_interrupt_is_130(monkeypatch, capsys):
    from avel_tf.cli import audit

    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "run", interrupted)
    assert main(["audit", "data"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_sigterm_is_an_interrupt_unless_somebody_else_wants_it(monkeypatch, capsys):
    from avel_tf.cli import audit

    heard = []
    inside = []

    def terminated(options: object) -> int:
        inside.append(signal.getsignal(signal.SIGTERM))
        if inside[-1] is not signal.SIG_DFL:  # or it would end the tests
            signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(audit, "run", terminated)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert main(["audit", "data"]) == 130
        assert capsys.readouterr().err == "Interrupted.\n"
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        assert main(["audit", "data"]) == 0 and heard == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert main(["audit", "data"]) == 0
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Outside of the main thread nothing can be installed, and nothing fails.
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(main, ["audit", "data"]).result() == 0
        assert inside[-1] is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_verbose_says_where_an_error_came_from(caplog, tmp_path):
    assert main(["audit", "--verbose", str(tmp_path)]) == 1
    assert "avel audit failed" in caplog.text and "Traceback" in caplog.text


@pytest.mark.slow
def test_control_c_while_training(store, tmp_path):
    """A real signal to a real process, in the middle of an epoch: 130, and no traceback."""
    words = ["train", str(store.folder), "--out", str(tmp_path / "run")]
    words += as_set((*QUICK_TRAINING, "training.epochs=100000"))
    process = subprocess.Popen(
        [sys.executable, "-m", "avel_tf.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        for line in process.stdout:
            if line.startswith("epoch   2 of"):
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED
    assert error.endswith("Interrupted.\n") and "Traceback" not in error
    assert (tmp_path / "run" / "checkpoint" / "state.npz").is_file()


def test_a_reader_that_goes_away_is_no_error(monkeypatch):
    """`avel ... | head`: no traceback when the pipe closes."""
    code = (
        "import sys\n"
        "from avel_tf.cli import main as cli\n"
        "from avel_tf.cli import audit\n"
        "def run(options):\n"
        "    for _ in range(100_000): print('line')\n"
        "    return 0\n"
        "audit.run = run\n"
        "sys.exit(cli.main(['audit', 'data']))\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    writer.stdout.readline()
    writer.stdout.close()
    error = writer.stderr.read()
    assert writer.wait(timeout=600) == 1 and error == b""
