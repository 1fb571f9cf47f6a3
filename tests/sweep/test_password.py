"""Passwords of storages: hidden in every form in which people write them, and found again."""

import os

import pytest
from omegaconf import OmegaConf

from pochitrain.sweep.password import hide_in_config, hide_password, password_of, redact

FORMS = [
    # as typed, as shown, without the password, the password
    ("postgresql://u:pw@h/db", "postgresql://u:***@h/db", "postgresql://u@h/db", "pw"),
    ("postgresql://u:p%40w@h/db", "postgresql://u:***@h/db", "postgresql://u@h/db", "p@w"),
    ("postgresql://u:p@w@h/db", "postgresql://u:***@h/db", "postgresql://u@h/db", "p@w"),
    ("postgresql://u:p/w@h/db", "postgresql://u:***@h/db", "postgresql://u@h/db", "p/w"),
    (
        "postgresql://u:p:w@h:5432/d",
        "postgresql://u:***@h:5432/d",
        "postgresql://u@h:5432/d",
        "p:w",
    ),
    ("mysql+pymysql://u:pw@h/db", "mysql+pymysql://u:***@h/db", "mysql+pymysql://u@h/db", "pw"),
    ("postgresql://:pw@/db?host=/run", "postgresql://:***@/db?host=/run", None, "pw"),
    (
        "postgresql://u@h/db?password=pw&sslmode=require",
        "postgresql://u@h/db?password=***&sslmode=require",
        "postgresql://u@h/db?sslmode=require",
        "pw",
    ),
]


@pytest.mark.parametrize(("typed", "shown", "plain", "password"), FORMS)
def test_hidden_and_found_again(typed: str, shown: str, plain: str | None, password: str) -> None:
    assert hide_password(typed) == shown == redact(typed)
    found, secret = password_of(shown)
    assert secret == password
    assert plain is None or found == plain


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u@h:5432/db",
        "postgresql://h:5432/db",
        "postgresql:///db",
        "sqlite:////tmp/a.db",
        "journal:///tmp/a.journal",
        "grpc://host:13000",
        "https://user:token@host/weights.pth",
        "learning_rate=0.1",
        "postgresql://u:***@h/db",
    ],
)
def test_nothing_else_changes(text: str) -> None:
    before = dict(os.environ)
    assert hide_password(text) == text
    assert dict(os.environ) == before


def test_inside_other_text() -> None:
    word = "optuna={storage: 'postgresql://u:a b@h/db', n_trials: 3}"
    assert redact(word) == "optuna={storage: 'postgresql://u:***@h/db', n_trials: 3}"
    two = "cannot open mysql://u:one@h/a or postgresql://u:two@h/b."
    assert redact(two) == "cannot open mysql://u:***@h/a or postgresql://u:***@h/b."


def test_a_password_that_only_another_process_knows() -> None:
    assert password_of("postgresql://u:***@other/db") == ("postgresql://u@other/db", None)


def test_files_of_a_config() -> None:
    config = OmegaConf.create(
        {
            "optuna": {"storage": "postgresql://u:pw1@h/db", "n_trials": 3},
            "hydra": {"sweeper": {"storage": "${optuna.storage}"}},
            "other": "${optuna.storage}",
        }
    )
    OmegaConf.set_readonly(config, True)
    hide_in_config(config)
    assert "pw1" not in OmegaConf.to_yaml(config, resolve=True)
    assert config.hydra.sweeper.storage == "postgresql://u:***@h/db"
    assert OmegaConf.is_interpolation(config.hydra.sweeper, "storage")
