"""What slow, large and many requests may cost the others."""

import asyncio
import io
import logging
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from pochitrain.inference.predictor import Predictor
from pochitrain.serve import connection
from pochitrain.serve.app import build_app
from pochitrain.serve.limit import Limits, PixelGate
from tests.serve.conftest import COLORS, running

Encode = Callable[..., bytes]
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=q\r\n"


@pytest.fixture
def impatient(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service that takes 20 connections and waits for half a second."""
    monkeypatch.setattr(connection, "max_connections", lambda num_body_files: 20)
    monkeypatch.setattr(connection.BoundedProtocol, "header_s", 0.5)
    monkeypatch.setattr(connection.BoundedProtocol, "read_s", 0.5)
    limits = Limits(pause_s=0.5, body_s=1.0, bytes_per_s=10**9)
    with running(build_app(predictor, limits)) as url:
        yield url


def connect(url: str, sent: bytes) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    open_socket = socket.create_connection((parts.hostname, parts.port or 0), timeout=10)
    open_socket.sendall(sent)
    return open_socket


def read_until_closed(open_socket: socket.socket) -> bytes:
    content = b""
    try:
        while part := open_socket.recv(65536):
            content += part
    except ConnectionResetError:
        pass
    return content


@pytest.mark.parametrize("sent", [b"", HEAD, b"G"], ids=["nothing", "half the headers", "a letter"])
def test_headers_that_do_not_come_end_the_connection(impatient: str, sent: bytes) -> None:
    started = time.monotonic()
    with connect(impatient, sent) as half:
        assert read_until_closed(half) == b""
    assert 0.3 < time.monotonic() - started < 3


def test_headers_that_come_letter_by_letter_end_the_connection(impatient: str) -> None:
    started = time.monotonic()
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "
    with connect(impatient, head) as slow, pytest.raises(ConnectionError):
        for _ in range(100):
            slow.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - started < 3


def test_so_do_those_of_a_second_request(impatient: str) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(impatient, request) as half:
        answer = b""
        while not answer.endswith(b"}"):
            answer += half.recv(65536)
        half.sendall(b"GET /he")
        started = time.monotonic()
        assert read_until_closed(half) == b""
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("pause_s", [5.0, 0.1], ids=["stands still", "drips"])
def test_a_body_that_comes_too_slowly_is_answered_408(impatient: str, pause_s: float) -> None:
    with connect(impatient, HEAD + FORM + b"Content-Length: 9999\r\n\r\n--q\r\n") as slow:
        started = time.monotonic()
        slow.settimeout(pause_s)
        answer = b""
        while not answer and time.monotonic() - started < 10:
            try:
                answer = slow.recv(65536)
            except TimeoutError:
                slow.sendall(b"x")
        slow.settimeout(10)
        answer += read_until_closed(slow)
    assert b"408 Request Timeout" in answer
    assert b"came too slowly" in answer
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("body", [b"", FORM + b"Content-Length: 9999\r\n\r\n--q\r\n"])
def test_half_sent_requests_make_room_for_whole_ones(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(connection, "max_connections", lambda num_body_files: 20)
    with running(build_app(predictor)) as url, ExitStack() as stack:
        for _ in range(60):  # three times as many as it takes
            stack.enter_context(connect(url, HEAD + body))
        started = time.monotonic()
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        assert time.monotonic() - started < 5  # before any of them is given up


def test_the_connections_are_fewer_than_the_file_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def limit_to(soft: int) -> None:
        monkeypatch.setattr(connection.resource, "getrlimit", lambda kind: (soft, soft))

    limit_to(1024)
    assert connection.max_connections(200) == 1024 - 200 - 256
    limit_to(100)
    assert connection.max_connections(200) == 16
    limit_to(1_000_000)
    assert connection.max_connections(200) == 1000


def test_no_file_descriptors_left_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    context = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(24, "Too many open files"),
    }
    with caplog.at_level(logging.WARNING):
        connection.report_loop_error(None, context)  # type: ignore[arg-type]
    assert caplog.messages == ["No new connections: Too many open files."]
    assert not caplog.records[0].exc_info


def test_bodies_that_are_too_many_together_are_refused(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, encode: Encode
) -> None:
    monkeypatch.setattr(Limits, "max_held_bytes", 50_000)
    head = HEAD + FORM + b"Content-Length: 45000\r\n\r\n"
    part = b'--q\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    files = {"files": ("a.png", encode(COLORS[0]) + b"\0" * 10_000)}
    with running(build_app(predictor, Limits())) as url:
        with connect(url, head + part + b"x" * 44_000):
            time.sleep(0.3)
            response = httpx.post(f"{url}/predict", files=files)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "5"
        time.sleep(0.3)  # gone: its bytes count no more
        assert httpx.post(f"{url}/predict", files=files).status_code == 200


def test_pixels_for_the_network_are_limited(
    keeping: Predictor, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    monkeypatch.setattr(
        "pochitrain.serve.app.decode_rgb",
        lambda content, background: decoded.append(1) or Image.open(content).convert("RGB"),
    )

    def post(*sizes: tuple[int, int]) -> httpx.Response:
        files = [("files", (f"{i}.png", encode(COLORS[0], size))) for i, size in enumerate(sizes)]
        return httpx.post(f"{url}/predict", files=files)

    with running(build_app(keeping)) as url:
        assert post((100, 100), (50, 200)).status_code == 200
        assert len(decoded) == 2
        response = post((200, 101))
        assert response.status_code == 413
        assert "0.png: 200 x 101 is more than the 0.02 megapixels" in response.json()["detail"]
        assert len(decoded) == 2  # refused by its header
        response = post((100, 100), (100, 100), (1, 1))
        assert response.status_code == 413
        assert "more than 0.02 megapixels for the model together" in response.json()["detail"]


def test_a_strip_that_a_resize_would_blow_up_is_refused(
    predictor: Predictor, encode: Encode
) -> None:
    from dataclasses import replace

    budget = replace(predictor.budget, own_size=None, resizes=(256,))
    assert budget.widest((800, 1)) == 256 * 256 * 800
    other = Predictor(predictor.classifier)
    other.budget = budget
    with running(build_app(other)) as url:
        files = {"files": ("a.png", encode(COLORS[0], (800, 1)))}
        response = httpx.post(f"{url}/predict", files=files)
    assert response.status_code == 413
    assert "a.png: 800 x 1 is more than 50,000,000 pixels" in response.json()["detail"]


def test_the_gate_lets_no_more_pixels_through_than_it_has() -> None:
    gate, inside, most = PixelGate(10), [0], [0]
    lock = threading.Lock()

    def go(pixels: int) -> None:
        with gate.hold(pixels):
            with lock:
                inside[0] += pixels
                most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            with lock:
                inside[0] -= pixels

    threads = [threading.Thread(target=go, args=(i % 5 + 1,)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 5 < most[0] <= 10
    assert gate.free == 10


def png_with_a_large_text() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (10, 10)).save(stream, "PNG")
    body = b"zTXta\0\0" + zlib.compress(b"x" * 3_000_000)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return stream.getvalue()[:33] + chunk + stream.getvalue()[33:]


def test_a_reason_is_a_sentence_and_no_name_of_a_class(address: str) -> None:
    files = {"files": ("a.png", png_with_a_large_text())}
    response = httpx.post(f"{address}/predict", files=files)
    assert response.status_code == 415
    assert "a.png: Decompressed data too large" in response.json()["detail"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("192.168.1.5:8000", 200),
        ("model.example:80", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_names_that_it_answers_under(keeping: Predictor, host: str, status: int) -> None:
    transport = httpx.ASGITransport(build_app(keeping, hosts=["Model.example"]))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
            return await client.get("/health", headers={"host": host})

    response = asyncio.run(ask())
    assert response.status_code == status
    if status == 400:
        assert "--allowed-host" in response.json()["detail"]
