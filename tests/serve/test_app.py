"""The service: right answers, refusals with a reason, and what it documents is what it does."""

import asyncio
import math
import re
import resource
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
import torch
from hypothesis import given, settings
from PIL import Image
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pochitrain.inference.predictor import Predictor
from pochitrain.serve import app as app_module
from tests.serve.conftest import COLORS, NAMES, bomb

Encode = Callable[..., bytes]


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address) as client:
        yield client


def form(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{i}.png", content)) for i, content in enumerate(contents)]


def test_answers_are_those_of_the_predictor_in_the_order_sent(
    client: httpx.Client, encode: Encode
) -> None:
    contents = [encode(COLORS[2]), encode(COLORS[0], kind="JPEG"), encode(COLORS[1])]
    response = client.post("/predict", files=form(*contents))
    assert response.status_code == 200
    found = response.json()["predictions"]
    assert [row["filename"] for row in found] == ["0.png", "1.png", "2.png"]
    assert [row["class_index"] for row in found] == [2, 0, 1]
    assert [row["class_name"] for row in found] == [NAMES[2], NAMES[0], NAMES[1]]
    # softmax of (0, 0, 5): 1 / (1 + 2 exp(-5))
    assert found[0]["confidence"] == pytest.approx(0.98670, abs=1e-5)
    chances = [entry["probability"] for entry in found[0]["probabilities"]]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 415, "not a picture"),
        (b"<html>no picture</html>", 415, "not a picture"),
        (bomb(), 413, "pixels"),
        (bomb(1001, 1000), 413, "1001 x 1000"),
    ],
    ids=["empty", "html", "bomb", "just too large"],
)
def test_a_bad_picture_is_refused_with_its_name_and_reason(
    client: httpx.Client, encode: Encode, content: bytes, status: int, reason: str
) -> None:
    started = time.perf_counter()
    response = client.post("/predict", files=form(encode(COLORS[0]), content))
    assert response.status_code == status
    assert "1.png" in response.json()["detail"]
    assert reason in response.json()["detail"]
    assert time.perf_counter() - started < 5


def test_a_truncated_picture_is_refused(client: httpx.Client, encode: Encode) -> None:
    content = encode(COLORS[0], size=(300, 300), kind="JPEG")
    response = client.post("/predict", files=form(content[: len(content) // 2]))
    assert response.status_code == 415


def test_too_many_pictures_are_refused(client: httpx.Client, encode: Encode) -> None:
    response = client.post("/predict", files=form(*[encode(COLORS[0])] * 5))
    assert response.status_code == 413
    assert "At most 4 pictures, got 5" in response.json()["detail"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused_whether_its_length_is_announced_or_not(
    address: str, announced: bool
) -> None:
    request = httpx.Request("POST", f"{address}/predict", files=form(b"x" * 2_000_000))
    body = request.read()
    kind = {"content-type": request.headers["content-type"]}
    content = body if announced else (body[i : i + 65536] for i in range(0, len(body), 65536))
    try:
        response = httpx.post(f"{address}/predict", content=content, headers=kind)
    except httpx.WriteError:  # the service hung up while we were still sending: refused as well
        return
    assert response.status_code == 413
    assert "300,000 bytes" in response.json()["detail"]


def test_pictures_are_decoded_one_by_one(
    client: httpx.Client, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Image.Image]] = []
    decode = app_module.decode_rgb

    def watched(*arguments: Any) -> Image.Image:
        assert sum(ref() is not None for ref in made) <= 1
        picture = decode(*arguments)
        made.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(app_module, "decode_rgb", watched)
    assert client.post("/predict", files=form(*[encode(COLORS[1])] * 4)).status_code == 200
    assert len(made) == 4


def test_what_the_model_cannot_take(
    client: httpx.Client, encode: Encode, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = client.post("/predict", files=form(encode(COLORS[0], size=(2000, 1))))
    assert strip.status_code == 200  # the transform makes it small
    nan = torch.full((1, 3), float("nan"))
    monkeypatch.setattr(predictor.classifier, "network", lambda images: nan)
    response = client.post("/predict", files=form(encode(COLORS[0])))
    assert response.status_code == 500
    assert "not finite" in response.json()["detail"]


def test_the_page_of_the_api_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) == 3
    for address in loaded:
        assert address.startswith("/")
        assert client.get(address).status_code == 200
    assert '"validatorUrl": null' in page


def test_unknown_and_sets_are_null_where_nobody_asked(client: httpx.Client, encode: Encode) -> None:
    (found,) = client.post("/predict", files=form(encode(COLORS[0]))).json()["predictions"]
    assert found["accepted"] is None
    assert found["class_set"] is None
    facts = client.get("/model").json()
    assert facts["temperature"] is facts["max_error"] is facts["threshold"] is None


def test_a_calibrated_service_says_unknown(cautious_address: str, encode: Encode) -> None:
    """Logits (5, 0, 0) and, for grey, three equal ones, all divided by 2."""
    contents = [encode(COLORS[0]), encode((90, 90, 90))]
    with httpx.Client(base_url=cautious_address) as client:
        sure, unsure = client.post("/predict", files=form(*contents)).json()["predictions"]
        facts = client.get("/model").json()
    assert sure["confidence"] == pytest.approx(1 / (1 + 2 * math.exp(-2.5)))
    assert (sure["accepted"], sure["class_set"]) == (True, [NAMES[0]])
    assert (unsure["accepted"], unsure["class_set"]) == (False, NAMES)
    assert (facts["temperature"], facts["max_error"]) == (2.0, 0.1)
    assert (facts["threshold"], facts["coverage"]) == (0.5, 0.9)


def test_facts_and_health(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    facts = client.get("/model").json()
    assert facts["class_names"] == NAMES
    assert facts["architecture"] == "brightest"
    assert client.get("/predict").status_code == 405


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of schemathesis itself
def test_the_service_does_what_its_openapi_says(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    assert {operation.ok().path for operation in schema.get_all_operations()} == {
        "/predict",
        "/health",
        "/model",
    }
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=25, deadline=None, database=None)
        @given(case=operation.as_strategy())
        def conforms(case: schemathesis.Case) -> None:
            # Random bytes are a valid file to the schema and no image to us.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        conforms()


@pytest.mark.slow
def test_500_concurrent_requests_are_answered_right_with_flat_memory(
    address: str, encode: Encode
) -> None:
    contents = [encode(color, size=(400, 300)) for color in COLORS]

    async def ask_all(num: int) -> list[int]:
        limits = httpx.Limits(max_connections=num)
        async with httpx.AsyncClient(limits=limits, timeout=120) as client:

            async def ask(i: int) -> int:
                files = {"files": ("a.png", contents[i % 3])}
                response = await client.post(f"{address}/predict", files=files)
                assert response.status_code == 200, response.text
                index: int = response.json()["predictions"][0]["class_index"]
                return index

            return list(await asyncio.gather(*map(ask, range(num))))

    asyncio.run(ask_all(500))  # warm-up: threads and buffers
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert asyncio.run(ask_all(500)) == [i % 3 for i in range(500)]
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 50 * 1024
