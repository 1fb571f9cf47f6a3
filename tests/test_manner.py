"""Letters that a terminal lacks, and the JSON document."""

import io
import json
import sys

import pytest

from pochitrain import manner


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", r"1 +/- 2, 3 x 3, a-b, 10 deg, ###, \u732b\U0001f408 caf\xe9"),
        ("cp932", r"1 ± 2, 3 × 3, a-b, 10°, ###, 猫\U0001f408 caf\xe9"),
        ("utf-8", "1 ± 2, 3 × 3, a–b, 10°, ███, 猫🐈 café"),
    ],
)
def test_what_a_terminal_cannot_show_is_replaced(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    manner.prepare_streams()
    print("1 ± 2, 3 × 3, a–b, 10°, ███, 猫🐈 café", end="", flush=True)
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    assert written.getvalue().decode(encoding) == expected


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "utf-8"])
def test_the_document_is_json_in_every_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    manner.prepare_streams()
    manner.print_json({"not": "asked for"})
    manner.answer_in_json()
    try:
        print("something that a library says")
        manner.print_json({"猫🐈é": [float("nan"), float("inf"), 1.5, (None, "±")]})
    finally:
        manner.forget_manner()
    assert sys.stdout is stream
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    content = json.loads(written.getvalue().decode(encoding))
    assert content == {"猫🐈é": [None, None, 1.5, [None, "±"]]}
    assert capsys.readouterr().err == "something that a library says\n"
