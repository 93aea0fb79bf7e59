"""Which config an engine runs that is started on a folder: what is live already is not read again."""

import os
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from bidder.cli.live_config import publish_config
from config import bundle_store
from config.faults import ConfigFaults
from config.folder_state import folder_state
from config.load import load_folder
from config.redis_keys import BUNDLE, BUNDLE_VERSION
from config.settings import Settings, SettingsError
from tests.config.folder import ADVERTISER, write_folder
from tests.events.processes import bundle_key, settings
from tests.factories import BUNDLE_KEY

KEPT = b"not published again"


def installation(folder: Path) -> Settings:
    """Settings of an installation beside a config folder."""
    return settings("", folder.parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "campaigns"
    write_folder(path)
    return path


async def was_published_again(client: Redis, folder: Path) -> bool:
    """Start on the folder once more, with a mark on what is live."""
    await client.set(BUNDLE_VERSION, KEPT)
    await publish_config(client, folder, installation(folder))
    return bool(await client.get(BUNDLE_VERSION) != KEPT)


async def test_the_same_files_are_read_once(redis_client: Redis, folder: Path) -> None:
    await publish_config(redis_client, folder, installation(folder))
    live = await bundle_store.fetch(redis_client)
    assert live == load_folder(folder)
    assert not await was_published_again(redis_client, folder)


async def test_an_edit_is_read(redis_client: Redis, folder: Path) -> None:
    await publish_config(redis_client, folder, installation(folder))
    advertiser = folder / "advertisers" / "oak.yaml"
    advertiser.write_text(ADVERTISER.replace("bid_cpm: 4.50", "bid_cpm: 4.75"))
    assert await was_published_again(redis_client, folder)
    live = await bundle_store.fetch(redis_client)
    assert live is not None
    assert live.advertisers[0].campaigns[0].line_items[0].bid_cpm == 4_750_000


async def test_a_faulty_edit_is_told(redis_client: Redis, folder: Path) -> None:
    await publish_config(redis_client, folder, installation(folder))
    (folder / "advertisers" / "oak.yaml").write_text(ADVERTISER.replace("bid_cpm: 4.50", "bid_cpm: lots"))
    with pytest.raises(ConfigFaults):
        await publish_config(redis_client, folder, installation(folder))


async def test_a_bundle_whose_folder_is_not_known_is_replaced(redis_client: Redis, folder: Path) -> None:
    replaced = msgspec.structs.replace(load_folder(folder), read_from="")
    await bundle_store.publish(redis_client, replaced, bundle_key(installation(folder)))
    assert await was_published_again(redis_client, folder)


async def test_what_another_release_wrote_is_replaced_by_a_folder_and_by_nothing_else(
    redis_client: Redis, folder: Path
) -> None:
    await redis_client.set(BUNDLE, b"\x80")
    with pytest.raises(SettingsError, match="carries no signature"):
        await publish_config(redis_client, None, installation(folder))
    await publish_config(redis_client, folder, installation(folder))
    assert await bundle_store.fetch(redis_client) == load_folder(folder)


async def test_what_another_secret_signed_is_not_replaced(redis_client: Redis, folder: Path) -> None:
    await bundle_store.publish(redis_client, load_folder(folder), BUNDLE_KEY)
    for config in (folder, None):
        with pytest.raises(SettingsError, match="not signed with this installation's secret"):
            await publish_config(redis_client, config, installation(folder))


def test_the_state_of_a_folder_is_its_files_and_their_names(folder: Path) -> None:
    before = folder_state(folder)
    assert before == folder_state(folder)
    assert before == load_folder(folder).read_from
    (folder / ".hidden").write_text("not looked at")
    assert folder_state(folder) == before
    engine = folder / "engine.yaml"
    engine.write_text(engine.read_text() + "# a comment\n")
    commented = folder_state(folder)
    assert commented != before
    (folder / "advertisers" / "oak.yaml").rename(folder / "advertisers" / "elm.yaml")
    assert folder_state(folder) not in (before, commented)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_folder_that_cannot_be_read_has_no_state(folder: Path) -> None:
    (folder / "engine.yaml").chmod(0)
    assert folder_state(folder) == ""


def test_a_folder_that_is_not_there_has_no_state(tmp_path: Path) -> None:
    assert folder_state(tmp_path / "nowhere") == ""
