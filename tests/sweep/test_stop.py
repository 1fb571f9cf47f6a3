"""What SIGTERM says in an application that does not say it itself."""

import os
import signal

import pytest

from pochitrain.error import Interrupted
from pochitrain.sweep.stop import next_step, stop_on_sigterm


@pytest.mark.parametrize(
    ("is_resumable", "message"),
    [
        (True, "^Stopped by SIGTERM. The same command continues the search.$"),
        (False, "^Stopped by SIGTERM. The study was kept in memory only, .* cannot be continued.$"),
    ],
)
def test_the_message_is_true(is_resumable: bool, message: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    words = next_step(is_resumable)
    with pytest.raises(Interrupted, match=message) as caught, stop_on_sigterm(words):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 0)  # a moment in which Python handles it
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
