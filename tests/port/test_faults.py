"""A fault of ours in one request: logged, answered, and nobody else's trouble."""

import logging
from pathlib import Path

import pytest

from bidder.openrtb.render import ResponseRenderer
from tests.factories import bid_request, bundle
from tests.running import running_worker


async def test_a_batch_that_fails_is_answered_and_the_worker_goes_on(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = ResponseRenderer.render

    def failing(self: ResponseRenderer, *arguments: object) -> bytes:
        raise RuntimeError("made for the test")

    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        monkeypatch.setattr(ResponseRenderer, "render", failing)
        with caplog.at_level(logging.ERROR):
            assert await worker.ask(bid_request()) == (204, b"")
        assert "made for the test" in caplog.text
        monkeypatch.setattr(ResponseRenderer, "render", healthy)
        assert await worker.bids(bid_request())


async def test_a_request_that_can_not_be_read_is_answered(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        with monkeypatch.context() as broken:
            broken.setattr("bidder.port.bidder.translate", lambda *arguments: 1 // 0)
            assert await worker.ask(bid_request()) == (204, b"")
        assert await worker.bids(bid_request())
