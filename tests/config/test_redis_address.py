"""What `--redis` may say."""

import pytest

from config.redis_address import RedisAddress, RedisAddressError, without_password


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@redis.example:6379/3",
        "rediss://redis.example?ssl_ca_certs=/ca.pem",
        "unix:///run/redis.sock",
    ],
)
def test_a_server_stays_as_it_is_written(url: str) -> None:
    assert RedisAddress.read(url) == RedisAddress((url,), is_cluster=False)


def test_a_cluster_is_its_nodes_entered_alike() -> None:
    address = RedisAddress.read(
        "rediss+cluster://bidder:pa%40ss@a.example:7000,b.example/0?ssl_ca_certs=/ca.pem"
    )
    assert address == RedisAddress(
        (
            "rediss://bidder:pa%40ss@a.example:7000?ssl_ca_certs=/ca.pem",
            "rediss://bidder:pa%40ss@b.example?ssl_ca_certs=/ca.pem",
        ),
        is_cluster=True,
    )
    assert RedisAddress.read("redis+cluster://a.example").urls == ("redis://a.example",)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://redis.example", r"it starts with redis://"),
        ("unix+cluster:///run/redis.sock", r"it starts with redis://"),
        ("redis+cluster://:secret@a.example/3", r"a Cluster has no database 3"),
        ("redis+cluster://:secret@a.example,,b.example", r"a host is empty"),
        ("redis+cluster://", r"a host is empty"),
        ("redis://:se/secret@redis.example:6379", r"written %2F"),
        ("redis://:secret?x@redis.example:6379", r"written %2F"),
        ("redis+cluster://:secret#x@redis.example:6379", r"written %2F"),
        ("redis://:secret@[::1:6379", r"brackets"),
        ("redis://:secret\u2100@redis.example", r"can't be read"),
    ],
)
def test_anything_else_is_refused_in_one_sentence_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(RedisAddressError, match=sentence) as raised:
        RedisAddress.read(url)
    assert "secret" not in str(raised.value)


def test_what_is_shown_has_no_password() -> None:
    for url in ("bidder:secret@", ":se/cr#et?s@cret@"):
        url = f"redis+cluster://{url}a.example:7000,b.example/0?ssl_ca_certs=/ca.pem"
        assert without_password(url) == "redis+cluster://a.example:7000,b.example/0"
    assert without_password("redis://a.example/0?password=secret") == "redis://a.example/0"
    assert without_password("redis://:secret@[::1") == "redis://[::1"
