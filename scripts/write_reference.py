"""Write docs/reference.md: every key, option, flag and command, from the code that defines them.

    python scripts/write_reference.py           # after a change of a key, an option or a flag
    python scripts/write_reference.py --check   # exit code 1 if the page is not up to date

Keys, types, defaults, rules and meanings come from the dataclasses in pochitrain/config, options
from conf/, flags from `pochi COMMAND --help`. Nothing here needs torch.
"""

import argparse
import ast
import contextlib
import inspect
import io
import os
import re
import sys
import typing
from collections.abc import Iterable, Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

os.environ["COLUMNS"] = "100"  # argparse wraps its help at the width of the terminal

from pochitrain.atomic import write_text
from pochitrain.cli.main import COMMANDS, main
from pochitrain.config.loader import MAX_NUM_WORKERS
from pochitrain.config.root import GROUPS, RootConfig
from pochitrain.config.validators import FieldRule, Range
from pochitrain.paths import config_directory

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
HEAD = """# Reference: every key, option and flag

This page is written by `scripts/write_reference.py` from the code that checks a config; edit that,
not this page. A key is set by `key=value` on the command line, and in YAML; an option is chosen by
`group=option`. What breaks a rule is refused before any work, with exit code 2.

`python train.py --cfg job` shows what a command composes to.
"""
WORDS = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any"}
PLURALS = {int: "integers", float: "numbers", str: "texts", Any: "nodes"}


class Key(NamedTuple):
    """A row of a table of keys."""

    name: str
    type: str
    default: str
    rule: str
    meaning: str


def meanings_of(schema: type[Any]) -> dict[str, str]:
    """Field -> the docstring below it, in the class or the nearest base that has one."""
    found: dict[str, str] = {}
    for base in reversed(schema.__mro__[:-1]):
        tree = ast.parse(inspect.getsource(base))
        body = tree.body[0].body  # type: ignore[attr-defined]
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                name = field.target.id  # type: ignore[union-attr]
                found[name] = inspect.cleandoc(text.value.value).replace("\n", " ")  # type: ignore[attr-defined]
    return found


def keys_of(schema: type[Any], prefix: str = "") -> list[Key]:
    """The keys of a schema, those of nested schemas included; groups of the root are left out."""
    hints = typing.get_type_hints(schema, include_extras=True)
    meanings = meanings_of(schema)
    rows = []
    for field in schema.__dataclass_fields__.values():
        hint = hints[field.name]
        if field.name.startswith("_") or (schema is RootConfig and field.name in GROUPS):
            continue
        if is_dataclass(hint):
            rows += keys_of(typing.cast(type[Any], hint), f"{prefix}{field.name}.")
            continue
        rules = getattr(hint, "__metadata__", ())
        kind = typing.get_args(hint)[0] if rules else hint
        text = describe_rules(rules, kind)
        name = prefix + field.name
        if field.name not in meanings:
            sys.exit(f"{schema.__name__}.{field.name} needs a docstring below it: what it means")
        rows.append(
            Key(name, type_of(kind), default_of(field), plain(text), plain(meanings[field.name]))
        )
    return rows


def describe_rules(rules: Iterable[FieldRule], kind: Any) -> str:
    """The rules of a field in one phrase, without what its type says already."""
    parts = []
    for rule in rules:
        text = rule.describe(kind)
        if isinstance(rule, Range):
            text = re.sub(r"^(an integer|a number) (?=[<>])", "", text)
        parts.append(text.replace(f"<= {MAX_NUM_WORKERS}", "<= 4 for each core (64 at least)"))
    first = [part.removesuffix(", or auto") for part in parts[:-1]]
    return " and ".join([*first, *parts[-1:]])


def type_of(kind: Any) -> str:
    """A type in words."""
    if kind is type(None):
        return "`null`"
    if kind in WORDS:
        return WORDS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return f"list of {PLURALS[arguments[0]]}"
    if origin is dict:
        return "mapping"
    return " or ".join(type_of(part) for part in arguments).replace(
        "true or false or", "true, false or"
    )


def default_of(field: "Field[Any]") -> str:
    value = field.default
    if value is NO_DEFAULT and field.default_factory is not NO_DEFAULT:
        value = field.default_factory()
    return "must be given" if value == "???" else code(value)


def code(value: Any) -> str:
    """A value as in YAML, in one line, as code."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    text = text.removesuffix("\n").removesuffix("\n...")
    if isinstance(value, str):
        text = value
    return f"`{text}`"


def plain(text: str) -> str:
    """Text in which Markdown sees nothing but code between backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([_*\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in r)} |" for r in lines
    )


def key_table(keys: Iterable[Key], prefix: str = "") -> str:
    header = ["key", "type", "default", "rule", "meaning"]
    return table(header, [[f"`{prefix}{key.name}`", *key[1:]] for key in keys])


def option_rows(group: str) -> Iterator[list[str]]:
    """Option, what it is, what it sets, for each file of a group."""
    for path in sorted((config_directory() / group).glob("*.yaml")):
        source = path.read_text(encoding="utf-8")
        content = yaml.safe_load(source)
        settings = list(list_settings(content, group, "# @package _global_" in source))
        what = plain(describe_option(path, source, content))
        yield [f"`{path.stem}`", what, "<br>".join(settings)]


def option_table(group: str) -> str:
    rows = [*option_rows(group)]
    sets_nothing = not any(row[-1] for row in rows)
    rows = [row[:-1] for row in rows] if sets_nothing else rows
    return table(["option", "what it is", "what it sets"][: len(rows[0])], rows)


def describe_option(path: Path, source: str, content: dict[str, Any]) -> str:
    """The comment that heads a file, without its commands; else the docstring of its schema."""
    lines = []
    for line in source.splitlines():
        if not line.startswith("# ") or line.startswith("#   "):
            if lines:
                break
        elif "@package" not in line:
            lines.append(line.removeprefix("# "))
    text = " ".join(lines)
    text = re.sub(r": (python train\.py|\w+=).*$", ".", text)  # commands are in other pages
    if text:
        return text
    schemas = GROUPS[path.parent.name][0]
    used = re.search(rf"/schema/{path.parent.name}/(\w+)@", source)
    if used is None:
        return f"`{content['defaults'][0]}` with other values."
    lines = (schemas[used[1]].__doc__ or "").splitlines()
    return lines[0]


def list_settings(content: dict[str, Any], group: str, is_global: bool) -> Iterator[str]:
    """What an option chooses and sets, as overrides; lists of steps are named only."""
    for entry in content.get("defaults", []):
        for name, option in entry.items() if isinstance(entry, dict) else ():
            if name.startswith("override /") and "hydra" not in name:
                yield f"`{name.removeprefix('override /')}={option}`"
        if isinstance(entry, str) and entry.startswith("/schema/input/"):
            yield "`mean`, `std`, `transform.size`, `.interpolation` and `.crop_pct` of its weights"
    body = {key: value for key, value in content.items() if key != "defaults"}
    yield from flatten(body, "" if is_global else f"{group}.")


def flatten(node: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in node.items():
        steps = value if isinstance(value, list) else [value]
        if any(isinstance(step, dict) and "_target_" in step for step in steps):
            names = (str(step["_target_"]).rpartition(".")[2] for step in steps)
            yield f"`{prefix}{key}`: {', '.join(names)}"
        elif isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"`{prefix}{key}={code(value).strip('`')}`"


def group_section(group: str) -> str:
    """The options and keys of a group."""
    schemas = GROUPS[group][0]
    keys = {name: keys_of(schema) for name, schema in schemas.items()}
    shared = [
        key for key in next(iter(keys.values())) if all(key in rows for rows in keys.values())
    ]
    parts = [f"## {group}", option_table(group)]
    if shared:
        if len(schemas) > 1:
            parts.append("Keys of every option:")
        parts.append(key_table(shared, f"{group}."))
    own: dict[tuple[Key, ...], list[str]] = {}  # the same keys of several schemas are shown once
    for name, rows in keys.items():
        own.setdefault(tuple(key for key in rows if key not in shared), []).extend(
            f"`{group}={option}`" for option in options_of(group, name)
        )
    for rows, options in own.items():
        if rows:
            parts += [f"Keys of {', '.join(options)}:", key_table(rows, f"{group}.")]
    return "\n\n".join(parts)


def options_of(group: str, schema: str) -> list[str]:
    """Options of a group that are made from a schema."""
    pattern = re.compile(rf"/schema/{group}/{schema}@")
    files = sorted((config_directory() / group).glob("*.yaml"))
    return [path.stem for path in files if pattern.search(path.read_text(encoding="utf-8"))]


def alias_section() -> str:
    config = yaml.safe_load((config_directory() / "config.yaml").read_text(encoding="utf-8"))
    rows = [[f"`{name}`", f"`{key}`"] for name, key in config["hydra"]["aliases"].items()]
    return "## Other names\n\nOn the command line, and in search spaces:\n\n" + table(
        ["name", "key"], rows
    )


def command_section() -> str:
    """What each command prints for --help."""
    parts = ["## Commands", "`python train.py` is `pochi train`."]
    for name in COMMANDS:
        words = [name, "check", "--help"] if name == "data" else [name, "--help"]
        title = " ".join(words[:-1])
        parts.append(f"### pochi {title}\n\n```text\n{help_of(words)}\n```")
    return "\n\n".join(parts)


def help_of(words: list[str]) -> str:
    """The help of a command; of `pochi train` without its table of groups, which is this page."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        main(words)
    text = written.getvalue().strip()
    text = re.sub(r"== Groups.*?(?=== Flags)", "", text, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in text.splitlines())


def write() -> str:
    """The page."""
    parts = [
        HEAD.rstrip(),
        "## Keys of a run",
        key_table(keys_of(RootConfig)),
        *map(group_section, GROUPS),
        f"## experiment\n\nWhole runs, on top of all groups.\n\n{option_table('experiment')}",
        alias_section(),
        command_section(),
    ]
    return "\n\n".join(parts) + "\n"


def comparable(page: str) -> str:
    """The part that is the same on every Python: 3.13 prints `--help` in another way."""
    return page if sys.version_info < (3, 13) else page.partition("## Commands")[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args()
    page = write()
    if not options.check:
        write_text(REFERENCE, page)
    elif not REFERENCE.is_file() or comparable(REFERENCE.read_text(encoding="utf-8")) != comparable(
        page
    ):
        sys.exit("docs/reference.md is not what the code says: python scripts/write_reference.py")
