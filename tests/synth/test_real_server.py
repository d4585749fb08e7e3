"""A real OpenAI-compatible server, `mlx_lm server` on a tiny random model: transport works, and what it
writes (it ignores schemas, and knows no language) ends as what it is."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ftspec.diagnostics import codes
from ftspec.synth.account import Account
from ftspec.synth.cache import Cache
from ftspec.synth.detect import check_endpoint
from ftspec.synth.faults import EndpointError
from ftspec.synth.make import make_questions
from tests.synth.conftest import DOCUMENTS, make_request
from tests.tiny_llm import make_tiny_llm

pytestmark = pytest.mark.slow
START_SECONDS = 120


@pytest.fixture(scope="module")
def mlx_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Path, "subprocess.Popen[bytes]"]]:
    """(URL, folder of the model, process)"""
    pytest.importorskip("mlx_lm", reason="mlx-lm is not installed")
    folder = make_tiny_llm(tmp_path_factory.mktemp("mlx") / "tiny", positions=2048)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hub = tmp_path_factory.mktemp("hub")  # listed by the server; made when it looks
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, process)
        yield url, folder, process
    finally:
        process.kill()
        process.communicate()


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, (process.communicate()[1] or b"").decode()[-2000:]
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        time.sleep(0.3)
    raise AssertionError("the server did not start")


def test_mlx_lm_server(mlx_server: tuple[str, Path, "subprocess.Popen[bytes]"], tmp_path: Path) -> None:
    url, folder, process = mlx_server
    request = make_request(
        endpoint=url, model=str(folder), max_tokens=12, concurrency=2, timeout_seconds=60.0
    )

    state = check_endpoint(request.settings)
    assert state.fault is None
    assert state.has(str(folder))

    account = Account()
    with pytest.raises(EndpointError) as caught:
        make_questions(request, DOCUMENTS, Cache(tmp_path), account)
    assert caught.value.code is codes.SYNTH_GARBAGE
    assert account.requests == 12, "three tries for each document"
    assert account.counted
    assert account.output_tokens == 12 * 12, "every reply is cut at max_tokens"
    assert account.input_tokens > 12 * 100
    assert not any(tmp_path.rglob("*.jsonl"))

    other = make_request(endpoint=url, model="nobody/no-such-model", max_tokens=12, timeout_seconds=60.0)
    with pytest.raises(EndpointError) as caught:
        make_questions(other, DOCUMENTS, Cache(tmp_path), Account())
    assert caught.value.code is codes.ENDPOINT_NO_MODEL
    assert str(folder) in caught.value.detail

    wrong = make_request(endpoint=url, api="ollama", model=str(folder))
    with pytest.raises(EndpointError) as caught:
        make_questions(wrong, DOCUMENTS, Cache(tmp_path), Account())
    assert caught.value.code is codes.ENDPOINT_NOT_API

    def kill(phase: object) -> None:
        process.kill()

    long = make_request(endpoint=url, model=str(folder), max_tokens=1500, concurrency=1, timeout_seconds=60.0)
    with pytest.raises(EndpointError) as caught:
        make_questions(long, DOCUMENTS, Cache(tmp_path), Account(), observe=kill, backoff_seconds=0.01)
    assert caught.value.code in (codes.ENDPOINT_LOST, codes.ENDPOINT_NOT_RUNNING)
