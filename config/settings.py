"""What an operator sets for one installation: addresses, processes, secrets.

Campaign facts live in the config folder (`config.schema`); these come from the command line and
the environment and are handed to each process once, at start, as JSON (`Settings.to_json`). Secrets
stay in files that only the engine's user can read; the settings say where they are.
"""

import hashlib
import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import msgspec

from config.limits import DRAIN_SECONDS_DEFAULT

SECRET_BYTES_MIN = 32
SECRET_ENV = "HUSTINGS_SECRET_FILE"
PRICE_KEYS_ENV = "HUSTINGS_PRICE_KEYS_FILE"
ADMIN_TOKEN_ENV = "HUSTINGS_ADMIN_TOKEN_FILE"
SECRET_FILE_BYTES_MAX = 1024 * 1024
"""More than any file of secrets holds; what lies beyond is not read."""
LogFormat = Literal["text", "json"]


class Role(StrEnum):
    """A part of the engine; a host runs all of them, or some."""

    BID = "bid"
    EVENTS = "events"
    ADMIN = "admin"


ROLES: Final = tuple(Role)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One installation. Ports of 0 mean "any free port"; the supervisor fills them in."""

    redis_url: str
    """As `config.redis_address` reads it: one server, or a Cluster."""
    secret_file: str
    data_dir: str
    metrics_dir: str
    """Where prometheus-client's multiprocess files go."""
    workers: int = 2
    bid_host: str = "127.0.0.1"
    bid_port: int = 8080
    events_host: str = "127.0.0.1"
    events_port: int = 8081
    events_url: str = ""
    """How the outside reaches the events port: the base of every notice, click and pixel URL.
    Empty: the events host and port themselves."""
    admin_host: str = "127.0.0.1"
    admin_port: int = 8082
    admin_token_file: str = ""
    """What opens the admin port (`bidder.admin.access`). Empty: nothing is asked, on loopback alone."""
    price_keys_file: str = ""
    """The keys of exchanges that encrypt prices (`config.price_keys`). Empty: there are none."""
    roles: tuple[Role, ...] = ROLES
    """What this host runs."""
    log_format: LogFormat = "text"
    drain_seconds: float = DRAIN_SECONDS_DEFAULT
    """How long a process that stops keeps idle connections open."""

    def to_json(self) -> bytes:
        """Write them for a child process."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(data: bytes | str) -> "Settings":
        """Read what `to_json` wrote."""
        return msgspec.json.decode(data, type=Settings)


class SettingsError(Exception):
    """An operator's setting can't be used; the message says which, why, and how to mend it."""


class Secrets(msgspec.Struct, frozen=True):
    """Keys derived from the one installation secret, 32 bytes each, one per purpose."""

    notice_key: bytes
    identity_key: bytes
    bundle_key: bytes
    """Signs configs (`config.bundle_store`)."""


def load_secrets(path: Path) -> Secrets:
    """Read the installation secret and derive its keys.

    Raises SettingsError when the file is missing, too short or readable by others.
    """
    secret = read_private(path, "the secret file").strip()
    if len(secret) < SECRET_BYTES_MIN:
        raise SettingsError(
            f"the secret file {path} holds {len(secret)} bytes; it needs at least {SECRET_BYTES_MIN}: "
            "write a fresh one with `head -c 48 /dev/urandom | base64`"
        )

    def derive(purpose: bytes) -> bytes:
        return hashlib.blake2b(secret, digest_size=32, person=purpose).digest()

    return Secrets(
        notice_key=derive(b"hustings-notice"),
        identity_key=derive(b"hustings-ident"),
        bundle_key=derive(b"hustings-bundle"),
    )


def read_private(path: Path, what: str) -> bytes:
    """Return the content of a file of secrets, called `what` in messages.

    Raises SettingsError when it can't be read, or other users may read it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX)
            status = os.fstat(file.fileno())
    except OSError as error:
        raise SettingsError(f"can't read {what} {path}: {error.strerror}") from None
    # A file that root gave to this user's group is as private as one of the user's own: that is how
    # container platforms and packages hand out secrets.
    if status.st_mode & (0o037 if status.st_uid == 0 else 0o077):
        raise SettingsError(f"{what} {path} is open to other users; run `chmod 600 {path}`")
    return content


def load_admin_token(path: Path) -> bytes:
    """Return the token that opens the admin port. Raises SettingsError, for a short one too."""
    token = read_private(path, "the admin token").strip()
    if len(token) < SECRET_BYTES_MIN:
        raise SettingsError(
            f"the admin token {path} has {len(token)} characters; it needs at least {SECRET_BYTES_MIN}: "
            "write one with `head -c 48 /dev/urandom | base64`"
        )
    return token


def secret_path(data_dir: Path) -> Path:
    """Return the secret file named by HUSTINGS_SECRET_FILE, else the data folder's."""
    return Path(os.environ.get(SECRET_ENV) or data_dir / "secret")


def shared_secrets(data_dir: Path, what_for: str) -> Secrets:
    """Return the secrets of an installation that is there; `what_for` begins the sentence where it is not.

    Raises SettingsError. A secret made up for the occasion would be another installation's.
    """
    path = secret_path(data_dir)
    if not path.exists():
        raise SettingsError(
            f"{what_for} with the engine's secret, and there is none at {path}; name the engine's "
            f"with --data, or in {SECRET_ENV}"
        )
    return load_secrets(path)


def ensure_secret_file(data_dir: Path) -> Path:
    """Return the secret file (`secret_path`); the data folder's is made if absent."""
    path = secret_path(data_dir)
    if not os.environ.get(SECRET_ENV) and not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
    return path
