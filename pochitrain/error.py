"""Errors that are shown to the user as one message, and their exit codes."""

import errno


class PochiError(Exception):
    """A run that failed for a reason outside our code; shown without a traceback."""

    exit_code = 1
    is_told_here = False
    """Whether, of several processes that have met, this one tells why they end."""


class ConfigError(PochiError):
    """Wrong input: the message names the dotted key, the rule, the value seen and the remedy."""

    exit_code = 2


class DataError(PochiError):
    """An image or a loader process failed during a run; the training state is intact."""


class ToldElsewhere(PochiError):  # noqa: N818  # like Interrupted
    """A run of several processes has ended, and another of them says why: nothing is printed."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop and has saved its state; passes through `except Exception`.

    Attributes:
        exit_code: 130 after Ctrl+C, 143 after SIGTERM (128 + the signal).
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> "tuple[type[Interrupted], tuple[str, int]]":
        """Let it pass from a worker process to the one that waits for it."""
        return type(self), (str(self), self.exit_code)


class ReaderGone(Interrupted):
    """Nobody reads standard output any more (`pochi ... | head`), so the command stops."""

    def __init__(self) -> None:
        super().__init__("Nobody reads the output any more.", 128 + 13)  # SIGPIPE


REFUSALS = (errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS)
"""Error numbers of a full disk, missing permissions or a failing disk: not bugs of pochitrain."""


def cannot_access(error: OSError) -> str:
    """The message for a file that the system does not allow to be written or read."""
    return f"Cannot write or read {error.filename or 'a file'}: {error.strerror}."


def require(ok: bool, key: str, rule: str, value: object, remedy: str = "") -> None:
    """Refuse a setting with one sentence: ``<key> must be <rule>, got <value>. <remedy>``.

    Raises:
        ConfigError: if `ok` is false.
    """
    if not ok:
        raise ConfigError(f"{key} must be {rule}, got {value!r}. {remedy}".rstrip())
