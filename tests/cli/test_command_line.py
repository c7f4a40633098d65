"""Command lines as people type them: odd file names, slips, files where folders belong."""

from __future__ import annotations

import argparse
import importlib
import os
import re
from pathlib import Path

import pytest

from avel_tf.cli import paths as kinds
from avel_tf.cli.infer import add_arguments
from avel_tf.cli.main import COMMANDS, main
from avel_tf.cli.parser import CommandParser
from tests.processes import not_as_root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command lines are typed: a file, a folder, a link to nothing."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"x")
    Path("folder").mkdir()
    Path("link").symlink_to("nowhere")
    return tmp_path


def parse(*words: str) -> argparse.Namespace:
    parser = CommandParser(prog="avel infer")
    add_arguments(parser)
    return parser.parse_args(list(words))


@pytest.mark.parametrize(
    "name",
    ["-PE8geTWt-g.mp4", "-hB3x.mp4", "--help.mp4", "-.mp4", "--out.mp4", "-5.mp4", "-v", "-h=1"],
)
def test_a_file_may_begin_with_a_dash(name: str) -> None:
    Path(name).write_bytes(b"x")
    for words in (["a.mp4", name], [name, "a.mp4"], ["a.mp4", name, "--out", "r"]):
        options = parse(*words)
        assert set(options.paths) == {"a.mp4", name}
    assert parse(name, "--out", "r", "--fresh").out == Path("r")
    os.mkdir("-results")
    assert parse("a.mp4", "--out", "-results").out == Path("-results")


def test_options_stay_options_whatever_files_are_called() -> None:
    for name in ("--fresh", "--out=r", "-h"):
        Path(name).write_bytes(b"x")
    options = parse("a.mp4", "--fresh", "--out=r")
    assert options.fresh and options.out == Path("r") and options.paths == ["a.mp4"]
    assert parse("--", "--fresh").paths == ["--fresh"]
    assert parse("-").paths == ["-"]
    with pytest.raises(SystemExit) as end:
        parse("-h")
    assert end.value.code == 0


def said(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert main(list(words)) == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_missing_file_that_begins_with_a_dash(capsys) -> None:
    assert "no such file or folder: -hB3x.mp4" in said(capsys, "infer", "-hB3x.mp4")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("infer", "a.mp4", "--modle", "m"), "no option --modle. Did you mean '--model'?"),
        (("infer", "a.mp4", "--modle=m"), "no option --modle. Did you mean '--model'?"),
        (("infer", "-x", "a.mp4"), "no option -x."),
        (("train", "data", "--uot", "run"), "no option --uot. Did you mean '--out'?"),
        (("extract", "--otu", "features"), "no option --otu. Did you mean '--out'?"),
        (("infre", "a.mp4"), "no command 'infre'. Did you mean 'infer'?"),
        (("infer", "a.mpv"), "no such file or folder: a.mpv. The nearest name there is 'a.mp4'"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(words, expected: str, capsys) -> None:
    Path("a.mp4").write_bytes(b"x")
    assert expected in said(capsys, *words)


OUTPUT_FOLDERS = {
    "infer": ["file"],
    "extract": ["data"],
    "train": ["data"],
    "demo": [],
    "export": ["folder"],
    "evaluate": ["folder", "data"],
}


@pytest.mark.parametrize("command", OUTPUT_FOLDERS)
@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("file", "file is a file; expected a folder"),
        ("file/sub", "file/sub cannot be created, because .*file is a file"),
        ("link", "link is a broken link"),
        ("", "expected the name of a folder; received ''"),
    ],
)
def test_results_need_a_folder(command: str, out: str, why: str, capsys) -> None:
    line = said(capsys, command, *OUTPUT_FOLDERS[command], "--out", out)
    assert line.startswith(f"avel {command}: error: argument --out: ")
    assert re.search(why, line)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("audit", "data", "--out", "folder"), "folder is a folder; expected the name of a file"),
        (("audit", "data", "--out", "new/"), "new/ is a folder; expected the name of a file"),
        (("audit", "data", "--out", "file/a.html"), "file/a.html cannot be created"),
        (("report", "file"), "file is a file; expected a folder"),
        (("report", "foldre"), "no folder foldre. The nearest name there is 'folder'"),
        (("report", "folder", "--beside", "none"), "there is no folder none"),
        (("export", "file", "--out", "m"), "file is a file; expected a folder"),
        (("evaluate", "file", "data"), "file is a file; expected a folder"),
        (("evaluate", "folder", "data", "--against", "file"), "file is a file"),
        (("evaluate", "folder", "data", "--beside", "file"), "file is a file"),
        (("infer", "file", "--config", "folder"), "folder cannot be read: Is a directory"),
    ],
)
def test_files_and_folders_are_told_apart(words, why: str, capsys) -> None:
    assert why in said(capsys, *words)


def test_a_folder_that_may_not_be_written() -> None:
    os.chmod("folder", 0o500)
    for kind, name in ((kinds.output_folder, "folder/new"), (kinds.output_file, "folder/a.html")):
        with (
            not_as_root(),
            pytest.raises(argparse.ArgumentTypeError, match="no permission to write to the folder"),
        ):
            kind(name)


def test_a_folder_that_may_not_be_entered() -> None:
    os.makedirs("closed/inside")
    os.chmod("closed", 0)
    try:
        for kind in (kinds.input_folder, kinds.output_folder, kinds.output_file):
            with not_as_root(), pytest.raises(argparse.ArgumentTypeError):
                kind("closed/inside")
    finally:
        os.chmod("closed", 0o700)


def test_a_folder_that_is_not_there_yet_is_fine() -> None:
    assert kinds.output_folder("a/b/c") == Path("a/b/c")
    assert kinds.output_file("a/b/c.html") == Path("a/b/c.html")
    assert not os.path.exists("a")


def test_every_folder_to_write_is_checked() -> None:
    """A new command with --out has to say what it needs."""
    checked = (kinds.output_folder, kinds.output_file, kinds.output_folder_or_bucket)
    for name in COMMANDS:
        parser = CommandParser()
        importlib.import_module(f"avel_tf.cli.{name}").add_arguments(parser)
        for action in parser._actions:
            if "--out" in action.option_strings:
                assert action.type in checked, name


def test_the_reference_page_is_the_generated_one() -> None:
    from avel_tf.cli.reference import reference

    page = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    assert page.read_text("utf-8") == reference(), f"run python -m avel_tf.cli.reference > {page}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_has_a_help_text(name: str) -> None:
    from avel_tf.cli.main import command_parser

    assert all(action.help for action in command_parser(name)._actions)
