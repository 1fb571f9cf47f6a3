"""Hydra's errors rewritten as our messages: dotted key, rule, value seen, remedy."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb

from hydra._internal.utils import get_args_parser

from pochitrain.command import typed_command
from pochitrain.config.root import GROUPS, explain_unknown_key, find_schema
from pochitrain.error import ConfigError
from pochitrain.paths import config_directory, not_a_run_directory
from pochitrain.text import did_you_mean


def parse_flags(argv: list[str], prog: str) -> argparse.Namespace:
    """Parse the flags as Hydra does, but without printing its usage in front of an error.

    Raises:
        ConfigError: for a flag that does not exist or lacks its value.
    """
    parser: argparse.ArgumentParser = get_args_parser()

    def refuse(text: str) -> None:
        raise ConfigError(f"{text[:1].upper()}{text[1:]}. {prog} --help lists the flags.")

    parser.error = refuse  # type: ignore[assignment, method-assign]
    flags = [word for word in argv if word != "--version"]  # its action would print and exit here
    return parser.parse_intermixed_args(flags)


def explain(error: BaseException) -> str:
    """One message for an error that Hydra or OmegaConf raised while composing."""
    texts = [str(error)]
    cause = error.__cause__ or error.__context__
    if cause is not None and str(cause) not in texts[0]:
        texts.append(str(cause))
    lines = [line.strip() for part in texts for line in part.splitlines()]
    text = "\n".join(line for line in lines if line and not line.startswith(OMIT))
    for pattern, build in RULES:
        found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
        if found:
            return build(*found.groups())
    kept = [line for line in text.splitlines() if not line.startswith(("full_key:", "object_type"))]
    return "\n".join(dict.fromkeys(kept))


OMIT = (
    "reference_type=",
    "Config search path:",
    "See https",
    "provider=",
    "Alias expansion:",
)
"""Prefixes of lines that only help developers of Hydra."""


def wrong_type(key: str, value: str, reason: str) -> str:
    """The message for a value that OmegaConf cannot store at `key`; `reason` is its own message."""
    if "incompatible container types" in reason:  # one of the two was given, the other is wanted
        reason = "not a ListConfig" if value.startswith("{") else "Cannot assign list to Dict"
    for pattern, rule, remedy in TYPE_RULES:
        if re.search(pattern, reason):
            got = "null" if "not Optional" in reason or "NoneType" in reason else show(value)
            if "not Optional" in reason and not has_default(key):
                remedy = "It has no default: write {key}=VALUE."
            return f"{key} must be {rule}, got {got}. {remedy.format(key=key)}".rstrip()
    return f"{key} must have another type, got {show(value)}: {reason.rstrip('.')}."


def has_default(key: str) -> bool:
    """Whether `key` has a default in every option of its group."""
    group, _, name = key.partition(".")
    schemas = GROUPS[group][0].values() if group in GROUPS else ()
    fields = [schema.__dataclass_fields__.get(name) for schema in schemas]
    return all(field is None or field.default != "???" for field in fields)


def show(value: str) -> str:
    """`value`, quoted unless it is a number, a boolean, null, a list or a mapping."""
    plain = re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?|true|false|null|\[.*\]|\{.*\}", value)
    return value if plain else repr(value)


TYPE_RULES = (
    ("converted to Integer", "an integer", ""),
    ("converted to Float", "a number", ""),
    (r"type hint 'Union\[int, str\]'", "an integer or auto", ""),
    ("not a valid bool|converted to Boolean", "true or false", ""),
    ("not a ListConfig", "a list", "Write {key}=[...]."),
    ("Cannot convert '.*' to string", "one word or a quoted string", ""),
    ("not Optional", "a value other than null", "Leave it out to keep its default."),
    ("NoneType is not a subclass of str", "a string", ""),
    ("NoneType is not a subclass of int", "an integer", ""),
    ("NoneType is not a subclass of float", "a number", ""),
    ("not a subclass of", "a group of keys", "Set one of them with {key}.KEY=VALUE."),
    ("Cannot assign .* to Dict", "a mapping", "Write {key}={{NAME:VALUE,...}}."),
)
"""Pattern in OmegaConf's message, our rule, our remedy."""


def wrong_type_in_override(key: str, value: str, reason: str, full_key: str | None) -> str:
    key = key.lstrip("+")
    if full_key is not None and full_key != key:  # an element of a list or mapping
        return wrong_type(full_key, value_in(reason), reason)
    return wrong_type(key, value, reason)


def wrong_type_in_file(source: str, reason: str, key: str) -> str:
    return f"{wrong_type(key, value_in(reason), reason)} It is set in {source}.yaml."


def value_in(reason: str) -> str:
    """The value that OmegaConf's message quotes; empty if it quotes none."""
    found = re.search(r"Value '(.*?)' (?:of type|is not)|string: '(.*)'", reason)
    return next((part for part in found.groups() if part is not None), "") if found else ""


def unknown_key(key: str, name: str = "", schema: str = "") -> str:
    """The message for a key that does not exist.

    Args:
        name: the part of `key` that does not exist, or a key in the mapping given for `key`.
        schema: name of the dataclass that lacks it.
    """
    if "@" in key:
        return f"{key} is not in the defaults list. To choose an option write GROUP=OPTION."
    if "/" in key:
        return wrong_option(key, "")
    parts = key.split(".")
    name = name or parts[-1]
    known = parts[: parts.index(name)] if name in parts else parts
    return explain_unknown_key("".join(f"{part}." for part in known), name, find_schema(schema))


def unknown_key_in_file(source: str, key: str, schema: str) -> str:
    prefix = "".join(f"{part}." for part in key.split(".")[:-1])
    name = key.rpartition(".")[2]
    return f"{explain_unknown_key(prefix, name, find_schema(schema))} It is set in {source}.yaml."


def not_in_struct(key: str, close: str | None, full: str) -> str:
    """The message for a new key without `+` in a mapping that takes any key.

    Args:
        close: the existing key that is most like it, if there is one.
        full: its path, with list indices in brackets; below `key` if `key` was given a mapping.
    """
    full = re.sub(r"\[(\d+)\]", r".\1", full) or key
    value = "VALUE" if full == key else "{...}"
    hint = f" Did you mean {full.rpartition('.')[0]}.{close}?" if close else ""
    return f"{full} is not a key of the config.{hint} To add it write +{key}={value}."


def no_index(name: str, argv: list[str]) -> str | None:
    """The message for a name in place of a list index (`transform.val.1.mean.foo=1`).

    Returns:
        None if no word of `argv` has that name in its key.
    """
    for word in argv:
        key = word.lstrip("+~").partition("=")[0]
        before, dot, _ = key.partition(f".{name}")
        if dot:
            return (
                f"{key} is not a key of the config: {before} is a list, whose entries are counted "
                "from 0."
            )
    return None


def not_deletable(key: str) -> str:
    return f"{key} must have a value. Leave out ~{key} to keep its default."


def no_package(source: str) -> str:
    """The message for an experiment that lacks `@package _global_` or has no keys."""
    return (
        f"{source}.yaml must start with the line '# @package _global_' and set keys of the config "
        "below it (epochs: 20). It lacks that line, is empty, or holds something other than keys."
    )


def parent_folder(option: str) -> str:
    """The message for an option given as a path (`optimizer=../model/resnet18`)."""
    words = typed_command()[1]
    group = next((word.partition("=")[0] for word in words if word.endswith(f"={option}")), None)
    options = list_options(config_directory() / group) if group else []
    if not options:
        return f"The name of an option must not contain '..', got {option!r}."
    return f"{group} must be one of {', '.join(options)}, got {option!r}."


def wrong_option(group: str, option: str, listed: str = "") -> str:
    """The message for an option that its group does not have, or an unknown group."""
    group = group.rstrip("/")
    if group == "hydra/launcher" and option in LAUNCHER_EXTRAS:
        return (
            f"{group}={option} needs a package that is not installed. "
            f"Type: pip install 'pochitrain[{LAUNCHER_EXTRAS[option]}]'"
        )
    groups = sorted(p.name for p in config_directory().iterdir() if p.is_dir())
    # The options that --config registers cannot be chosen by name.
    hidden = (*OMIT, "legacy")
    options = [line for line in listed.splitlines() if line and not line.startswith(hidden)]
    options = options or list_options(config_directory() / group)
    if not options:
        hint = did_you_mean(group, groups)
        return f"{group} is not a group of the config.{hint} Groups: {', '.join(groups)}."
    hint = did_you_mean(option, options, f"{group}={{}}") + outside_option(group, option)
    return f"{group} must be one of {', '.join(options)}, got {option or None!r}.{hint}"


LAUNCHER_EXTRAS = {"submitit_local": "submitit", "submitit_slurm": "submitit"}
"""Launcher -> extra with its package. Those that are not here are always installed, or say it."""


def outside_option(group: str, option: str) -> str:
    """A hint for an unknown option that a file chose: it may be one of the user's own."""
    words = [word.lstrip("+") for word in typed_command()[1]]
    files = [f"experiment/{word[11:]}.yaml" for word in words if word.startswith("experiment=")]
    files += [word.removeprefix("--config=") for word in words if word.endswith(".py")]
    if not files or any(word.startswith(f"{group}=") for word in words):
        return ""
    return (
        f" {' or '.join(files)} chooses it. If it is an option of your own, name the folder that "
        f"holds {group}/{option}.yaml: --config-dir DIR, or 'hydra.searchpath=[file://DIR]' "
        "beside another --config-dir."
    )


def list_options(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def null_option(group: str) -> str:
    """The message for `scheduler=null`: a group is switched off by an option (`none`)."""
    options = list_options(config_directory() / group)
    off = f" To switch it off use {group}=none." if "none" in options else ""
    return f"{group} must be one of {', '.join(options)}, got null.{off}"


def several_values(override: str) -> str:
    key, _, value = override.partition("=")
    return (
        f"{key} must be one value, got {value}. To run one job for each add --multirun; "
        f"a list is written {key}=[{value}]."
    )


def made_by_hydra(error: OSError) -> bool:
    """Whether Hydra raised `error` while making a directory, rather than code of a run."""
    frames = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    callers = [code for code in frames if "pathlib" not in code.co_filename]
    return callers != frames and "hydra" in Path(callers[-1].co_filename).parts


def unusable_directory(error: OSError, argv: list[str]) -> str:
    """The message for a hydra.run.dir or hydra.sweep.dir that cannot be made."""
    several = "--multirun" in argv or "-m" in argv
    return not_a_run_directory(
        "hydra.sweep.dir" if several else "hydra.run.dir", str(error.filename), error
    )


def second_choice(group: str, option: str) -> str:
    return f"{group} has an option already. Choose another without the plus: {group}={option}."


def unreadable_override(override: str, reason: str) -> str:
    if "=" not in override:
        return f"An override must be written KEY=VALUE, got {override!r}."
    key, _, value = override.partition("=")
    if re.fullmatch(r"\(.*\)", value):
        return (
            f"{key} cannot be read, got {value!r}. A list is written {key}=[{value[1:-1]}], "
            f"and text with brackets '{key}=\"{value}\"'."
        )
    why = reason.strip().splitlines()[-1].partition(" expecting {")[0]
    return (
        f"{key} cannot be read, got {override!r} ({why}). Put quotes "
        f"around special characters: '{key}=\"{value}\"'."
    )


def missing_directory(path: str) -> str:
    return f"--config-dir must be a folder with config files, got {path!r}, which is not there."


def missing_config(name: str) -> str:
    return (
        f"--config-name must be a config file, got {name!r}, which is not in the search path. "
        "Add its folder with --config-dir."
    )


REASON = r"((?:Value|Cannot|Invalid|field) [^\n]*)"
RULES: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"^Error merging override ~([^\n]*)\n[^\n]*deletion", not_deletable),
    (
        r"^Error merging override ([^=\n]+)=([^\n]*)\n" + REASON + r"(?:\nfull_key: (\S+))?",
        wrong_type_in_override,
    ),
    (r"^In '(experiment/[^'\n]*)': .*?Key 'experiment' not in 'RootConfig'", no_package),
    (r"^In '(experiment/[^'\n]*)': .*?incompatible container types", no_package),
    (r"^In '(experiment/[^'\n]*)': .*?@experiment\.\w+' exists to override", no_package),
    (r"^In [^\n]*Parent traversal \('\.\.'\)[^\n]*\('([^'\n]*)'\)", parent_folder),
    (r"^In '([^'\n]*)': .*?" + REASON + r"\nfull_key: (\S+)", wrong_type_in_file),
    (
        r"^In '([^'\n]*)': .*?Key '[^']*' not in '\w+'.*?full_key: (\S+)\n.*?object_type=(\w+)",
        unknown_key_in_file,
    ),
    (r"^Could not override '([^'\n]*)'.*?Key '([^']*)' not in '(\w+)'", unknown_key),
    (
        r"^Could not override '([^'\n]*)'.*?is not in struct(?:\. Did you mean[^'\n]*'([^'\n]*)')?"
        r"[^\n]*\n\s*full_key: (\S*)",
        not_in_struct,
    ),
    (r"^Could not override '([^'\n]*)'\.\nNo match", unknown_key),
    (r"^Could not override '([^'\n]*@[^'\n]*)'", unknown_key),
    (
        r"Could not find '([^'\n]*)/([^/'\n]*)'\nAvailable options in '[^']*':\n(.*)",
        wrong_option,
    ),
    (r"Could not (?:find|load) '([^'\n]*)/([^/'\n]*)'", wrong_option),
    (r"^Ambiguous value for argument '([^'\n]*)'", several_values),
    (r"^Multiple values for ([^\n]*?)\. To override a value use '[^:]*: ([^'\n]*)'", second_choice),
    (r"^Error when parsing index: \d+, string: (.*?) out of \[.*?\]\.\n(.*)", unreadable_override),
    (r"^Additional config directory '([^'\n]*)' not found", missing_directory),
    (r"^Cannot find primary config '([^'\n]*)'", missing_config),
)
"""Pattern in Hydra's message -> function that builds our message from the pattern's groups."""
