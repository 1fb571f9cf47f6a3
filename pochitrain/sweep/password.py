"""Passwords in URLs of storages, kept out of everything that is printed or written.

A config is written to many places (config.yaml, checkpoints, Hydra's files, pickles of launchers).
So a password is replaced by *** where the URL comes in, and kept in the environment of this
process, which the processes and cluster jobs that it starts inherit.
"""

import hashlib
import os
import re
from typing import Any
from urllib.parse import unquote

from omegaconf import DictConfig, OmegaConf, flag_override

HIDDEN = "***"
VARIABLE = "POCHITRAIN_PASSWORD_"
"""Beginning of the names of environment variables with passwords."""
SCHEME = r"(?<![\w+.-])(?!https?:|s?ftp:|s3:|gs:|file:)[A-Za-z][\w+.-]*://"
"""Of a URL that may be one of a database."""
URL = re.compile(rf"""(['"]){SCHEME}.*?\1|{SCHEME}\S+""")
"""A URL in a text, with the quotes around it."""
PARAMETER = re.compile(r"([?&](?:password|sslpassword)=)([^&\s'\"]*)")
"""A password as libpq takes it among the parameters."""


def redact(text: str) -> str:
    """`text` with the passwords of URLs replaced by ***."""
    return URL.sub(lambda match: cover(match[0])[0], text)


def hide_password(text: str) -> str:
    """`text` with the passwords of URLs replaced by ***; `password_of` still finds them."""

    def hide(match: re.Match[str]) -> str:
        url, password = cover(match[0])
        if password not in ("", HIDDEN):
            os.environ[variable_of(url)] = password
        return url

    return URL.sub(hide, text)


def hide_in_config(config: DictConfig) -> None:
    """Hide passwords in the URLs of a composed config that are called `storage`, in place.

    Those of the sweeper (`hydra.sweeper.storage`) and of every group (`optuna.storage`).
    """
    nodes = [child_of(config, name) for name in config]
    nodes.append(child_of(child_of(config, "hydra"), "sweeper"))
    for node in nodes:
        if node is None or "storage" not in node or OmegaConf.is_interpolation(node, "storage"):
            continue
        value = node.storage
        if isinstance(value, str) and hide_password(value) != value:
            with flag_override(node, "readonly", False):
                node.storage = hide_password(value)


def child_of(node: DictConfig | None, name: Any) -> DictConfig | None:
    """The mapping `name` below a mapping; None if there is none."""
    if node is None or name not in node or OmegaConf.is_interpolation(node, name):
        return None
    child = node[name]
    return child if isinstance(child, DictConfig) else None


def hide_in_words(overrides: Any) -> None:
    """Hide passwords in Hydra's record of the command line, `hydra.overrides`, in place."""
    for name in ("hydra", "task"):
        typed: Any = OmegaConf.to_container(overrides[name])  # `${...}` stays as it is
        words = [hide_password(str(word)) for word in typed]
        with flag_override(overrides, "readonly", False):
            overrides[name] = words


def cover(url: str) -> tuple[str, str]:
    """(URL with *** for its password, the password); "" if it has none."""
    before, password, after = split_password(url)
    parameter = PARAMETER.search(url)
    if password:
        url = f"{before}{HIDDEN}{after}"
    elif parameter:
        password = parameter[2]
    return PARAMETER.sub(rf"\1{HIDDEN}", url), unquote(password)


def split_password(url: str) -> tuple[str, str, str]:
    """(text before the password, password, text after it); the first is all if there is none.

    It ends at the last @ before the database: people forget to write %40 for their own.
    """
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    # SQLAlchemy also takes / and ? in a password.
    credentials = authority.rpartition("@")[0] or rest.partition("@")[0] * ("@" in rest)
    user, colon, password = credentials.partition(":")
    if not colon or not password:
        return url, "", ""
    before = f"{scheme}://{user}:"
    return before, password, url[len(before) + len(password) :]


def password_of(hidden_url: str) -> tuple[str, str | None]:
    """(URL without a password, the password that `hide_password` took out of it).

    None if the URL has none, or was hidden by a process that did not start this one; PostgreSQL's
    own places (PGPASSWORD, ~/.pgpass) may know it.
    """
    before, password, after = split_password(hidden_url)
    plain = before.removesuffix(":") + after if password else hidden_url
    plain = re.sub(r"[?&]$", "", re.sub(r"(?:ssl)?password=\*\*\*&?", "", plain))
    return plain, os.environ.get(variable_of(hidden_url))


def variable_of(hidden_url: str) -> str:
    """The environment variable for the password of a URL that shows *** instead."""
    hidden_url = hidden_url.strip("'\"")
    digest = hashlib.sha256(hidden_url.encode()).hexdigest()[:12].upper()
    return f"{VARIABLE}{digest}"


def known_passwords() -> dict[str, str]:
    """The environment variables with passwords, for jobs that do not inherit the environment."""
    return {name: value for name, value in os.environ.items() if name.startswith(VARIABLE)}
