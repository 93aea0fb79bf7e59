"""`hustings config check --audiences` and `apply`: what only the audiences in Redis can tell."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import redis
import redis.asyncio
from typer.testing import CliRunner

from bidder.cli.config import app
from config.redis_keys import BUNDLE
from segments.registry import SegmentRegistry
from segments.store import SegmentStore
from tests.config.folder import SEGMENTS, write_folder

DAY_FAR = 60_000


async def put(url: str, people: int) -> None:
    async with redis.asyncio.Redis.from_url(url) as client:
        await SegmentRegistry(client).define({"renters": "", "homeowners": ""})
        hashes = np.arange(1, people + 1, dtype=np.uint64) << np.uint64(40)
        await SegmentStore(client).write(hashes, np.full((people, 1), 2, np.uint64), DAY_FAR)


@pytest.mark.parametrize(("people", "warned"), [(99, True), (100, False)])
def test_a_check_counts_who_has_too_few_people(
    redis_url: str, tmp_path: Path, people: int, warned: bool
) -> None:
    asyncio.run(put(redis_url, people))
    folder = write_folder(tmp_path / "campaigns")
    result = CliRunner().invoke(app, ["check", str(folder), "--audiences", "--redis", redis_url])
    assert result.exit_code == 0
    sentence = (
        f"`spring-web` will not bid: {people} people are in its audience, and `audience_size_min` is 100"
    )
    assert (sentence in result.stderr) is warned
    result = CliRunner().invoke(app, ["check", str(folder), "--audiences", "--redis", redis_url, "--json"])
    assert json.loads(result.stdout)["too_small"] == ({"spring-web": people} if warned else {})


def test_a_segment_nobody_has_loaded_has_nobody(redis_url: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "campaigns")
    result = CliRunner().invoke(app, ["check", str(folder), "--audiences", "--redis", redis_url])
    assert "oak.yaml:14:19: warning: `spring-web` will not bid: 0 people" in result.stderr


@pytest.mark.usefixtures("secret_file")
def test_a_config_that_takes_another_owners_segment_is_not_applied(redis_url: str, tmp_path: Path) -> None:
    owned = SEGMENTS.replace("They own it.\n", "They own it.\n    owner: oak\n")
    folder = write_folder(tmp_path / "campaigns", {"segments.yaml": owned})
    assert CliRunner().invoke(app, ["apply", str(folder), "--redis", redis_url]).exit_code == 0
    shared = write_folder(tmp_path / "shared")
    with redis.Redis.from_url(redis_url) as client:
        live = client.get(BUNDLE)
        result = CliRunner().invoke(app, ["apply", str(shared), "--redis", redis_url])
        assert result.exit_code == 2
        assert "segment homeowners belongs to oak" in result.stderr
        assert client.get(BUNDLE) == live
