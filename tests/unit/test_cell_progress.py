"""What a long cell says while it runs."""

import pytest

from ticketsvc.lab import cell_progress


def test_a_cell_says_how_many_are_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cell_progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(cell_progress, "_PAUSE_S", -1)
    with cell_progress.counted("bursts", 3) as count:
        assert "bursts: 0 of 3 after" in capsys.readouterr().out
        count()
        assert "bursts: 1 of 3 after" in capsys.readouterr().out


def test_nothing_is_said_outside_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    with cell_progress.counted("bursts", 3) as count:
        count()
    assert capsys.readouterr().out == ""
