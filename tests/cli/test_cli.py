"""The command line itself: help, flags, exit codes. What commands do is tried with real parts in
tests/e2e.
"""

from pathlib import Path

import pytest

from inventiv_operator import cli


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("migrate", "--help"),
        ("bind", "--help"),
        ("leaks", "--help"),
        ("keyring", "new", "--help"),
        *(("keyring", action, "--help") for action in ("add", "promote", "reencrypt", "remove")),
    ],
)
def test_help_explains_every_command(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(arguments)
    assert caught.value.code == 0
    assert "INVENTIV_" in capsys.readouterr().out


def test_help_of_the_whole_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.run(["--help"])
    shown = capsys.readouterr().out
    for command in ("run", "migrate", "bind", "leaks", "keyring"):
        assert command in shown


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("keyring",),
        ("keyring", "promote"),
        ("keyring", "remove"),
        ("leaks", "--output", "xml"),
        ("leaks", "--organization"),
        ("run", "--database-url", "x"),
    ],
)
def test_a_wrong_command_is_a_usage_error(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(arguments)
    assert caught.value.code == 2
    assert "usage: inventiv-operator" in capsys.readouterr().err


def test_a_flag_reaches_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INVENTIV_KEYRING_FILE", raising=False)
    path = tmp_path / "keyring.json"
    assert cli.run(["keyring", "new", "--keyring-file", str(path)]) == 0
    assert path.exists()
    assert cli.run(["keyring", "new"]) == 1
    assert capsys.readouterr().err == "inventiv-operator: INVENTIV_KEYRING_FILE is required and not set\n"


def test_an_error_of_several_lines_is_told_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.fail("first\n  second") == 1
    assert capsys.readouterr().err == "inventiv-operator: first second\n"
