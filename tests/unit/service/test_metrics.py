"""The folder of the shared counters is removed only where `serve` made it."""

from pathlib import Path

import pytest

from ticketsvc.service.metrics import COUNTERS, OWN_FOLDER, counters_kept


@pytest.mark.parametrize(("name", "left"), [(f"{OWN_FOLDER}x", False), ("of-the-operator", True)])
def test_only_our_own_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, left: bool
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv(COUNTERS, str(folder))
    with counters_kept():
        (folder / "counter.db").touch()
    assert folder.exists() is left
