"""Where Redis is, from what `--redis` says: one server, or any nodes of a Cluster.

    redis://:secret@redis.example:6379/0              one server, or the address of a primary
    rediss://...   unix://...                         the same over TLS, or a socket file
    redis+cluster://:secret@a.example:6379,b.example  a Cluster: every node named is a place to ask
    rediss+cluster://...                              the same over TLS

A Cluster has a scheme of its own, because one node is enough to find the others: the number of hosts
can't tell it from a server. Everything after the hosts, like `?ssl_ca_certs=/ca.pem`, holds for every node.
"""

from urllib.parse import urlsplit, urlunsplit

import msgspec

SERVER_SCHEMES = ("redis", "rediss", "unix")
CLUSTER_SUFFIX = "+cluster"


class RedisAddressError(ValueError):
    """The text is no address of a Redis; the message says what is wrong with it, without its password."""


class RedisAddress(msgspec.Struct, frozen=True):
    """One server, or the known nodes of a Cluster, as URLs that redis-py reads."""

    urls: tuple[str, ...]
    is_cluster: bool

    @classmethod
    def read(cls, url: str) -> "RedisAddress":
        """Read the URL of `--redis`. Raises RedisAddressError."""
        try:
            parts = urlsplit(url)
        except ValueError:
            # Its own words may quote the password.
            raise RedisAddressError("its host can't be read; an IPv6 address stands in [brackets]") from None
        scheme = parts.scheme.removesuffix(CLUSTER_SUFFIX)
        if scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
            raise RedisAddressError("in its password /, ? and # are written %2F, %3F and %23, and @ is %40")
        if scheme == parts.scheme and scheme in SERVER_SCHEMES:
            return cls((url,), is_cluster=False)
        if scheme not in ("redis", "rediss"):
            raise RedisAddressError(
                "it starts with redis://, rediss:// or unix://, or for a Cluster with redis+cluster:// "
                "or rediss+cluster://"
            )
        if parts.path not in ("", "/", "/0"):
            raise RedisAddressError(f"a Cluster has no database {parts.path.strip('/')}: leave it away")
        login, at, hosts = parts.netloc.rpartition("@")
        nodes = hosts.split(",")
        if not all(nodes):
            raise RedisAddressError("a host is empty: name one or more, host:port, apart by commas")
        return cls(
            tuple(urlunsplit((scheme, f"{login}{at}{node}", "", parts.query, "")) for node in nodes),
            is_cluster=True,
        )


def without_password(url: str) -> str:
    """Return the URL of `--redis` as it may be shown, were it no URL at all."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"
