import re

import pytest

from ticketsvc.errors import UsageError
from ticketsvc.settings import DatabaseSettings, ListenSettings, Settings


def test_defaults():
    settings = Settings.load()
    assert (settings.host, settings.port, settings.pool_size) == ("127.0.0.1", 3000, 10)
    assert settings.database_url is None


def test_environment_is_read_and_its_password_is_not_shown(monkeypatch):
    monkeypatch.setenv("PORT", "3005")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:geheim@h/d")
    monkeypatch.setenv("TICKETSVC_POOL_SIZE", "3")
    settings = Settings.load()
    assert (settings.port, settings.pool_size) == (3005, 3)
    assert settings.database_url.get_secret_value() == "postgresql://u:geheim@h/d"
    assert "geheim" not in repr(settings) + str(settings)


@pytest.mark.parametrize("name", ["DATABASE_URL", "PORT", "TICKETSVC_HOME", "TICKETSVC_HOST"])
def test_blank_is_as_unset(monkeypatch, name):
    unset = Settings.load()
    monkeypatch.setenv(name, " ")
    assert Settings.load() == unset


def test_the_variable_of_an_option_that_is_given_is_not_judged(monkeypatch):
    monkeypatch.setenv("PORT", "x")
    assert Settings.load(port=0, host=None).port == 0


def test_a_variable_that_a_command_does_not_use_is_not_judged(monkeypatch):
    for name in ("PORT", "TICKETSVC_POOL_SIZE"):
        monkeypatch.setenv(name, "x")
    assert DatabaseSettings.load().home is None
    monkeypatch.setenv("PORT", "3005")
    assert ListenSettings.load().port == 3005


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("TICKETSVC_PORT", "x"),
        ("TICKETSVC_POOL_SIZE", "0"),
        ("TICKETSVC_POOL_SIZE", "ten"),
        ("TICKETSVC_POOL_SIZE", "1001"),
        ("TICKETSVC_POOL_TIMEOUT_S", "0"),
        ("TICKETSVC_POOL_TIMEOUT_S", "-1"),
        ("TICKETSVC_POOL_TIMEOUT_S", "nan"),
        ("TICKETSVC_MAX_WAITING", "0"),
        ("TICKETSVC_MAX_WAITING", "1000001"),
        ("TICKETSVC_MAX_CONNECTIONS", "9" * 30),
        ("TICKETSVC_SHUTDOWN_TIMEOUT_S", "soon"),
    ],
)
def test_fault_names_the_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"environment variable {name}: ") as refusal:
        Settings.load()
    assert not re.search(r"\n|Input|parse", str(refusal.value))
