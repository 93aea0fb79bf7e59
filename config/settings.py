"""What an operator sets for one installation: addresses, processes, secrets.

Campaign facts live in the config folder (`config.schema`); these come from the command line and
the environment and are handed to each process once, at start, as JSON (`Settings.to_json`).
"""

import hashlib
import os
import secrets
from pathlib import Path

import msgspec

SECRET_BYTES_MIN = 32
SECRET_ENV = "HUSTINGS_SECRET_FILE"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One installation. Ports of 0 mean "any free port"; the supervisor fills them in."""

    redis_url: str
    """`redis://`, `rediss://` or `unix://`."""
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

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(data: bytes | str) -> "Settings":
        return msgspec.json.decode(data, type=Settings)


class SettingsError(Exception):
    """An operator's setting can't be used; the message says which, why, and how to mend it."""


class Secrets(msgspec.Struct, frozen=True):
    """Keys derived from the one installation secret, 32 bytes each, one per purpose."""

    notice_key: bytes
    identity_key: bytes


def load_secrets(path: Path) -> Secrets:
    """Read the installation secret and derive its keys.

    Raises SettingsError when the file is missing, too short or readable by others.
    """
    try:
        secret = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise SettingsError(f"can't read the secret file {path}: {error.strerror}") from None
    if len(secret) < SECRET_BYTES_MIN:
        raise SettingsError(
            f"the secret file {path} holds {len(secret)} bytes; it needs at least {SECRET_BYTES_MIN}: "
            "write a fresh one with `head -c 48 /dev/urandom | base64`"
        )
    if mode & 0o077:
        raise SettingsError(f"the secret file {path} is open to other users; run `chmod 600 {path}`")

    def derive(purpose: bytes) -> bytes:
        return hashlib.blake2b(secret, digest_size=32, person=purpose).digest()

    return Secrets(notice_key=derive(b"hustings-notice"), identity_key=derive(b"hustings-ident"))


def ensure_secret_file(data_dir: Path) -> Path:
    """Return the secret file named by HUSTINGS_SECRET_FILE, else the data folder's, made if absent."""
    named = os.environ.get(SECRET_ENV)
    if named:
        return Path(named)
    path = data_dir / "secret"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
    return path
