"""The keys that sign notice tokens: who signs when, and whose signatures still count.

    keys = KeyFile(secret_file, secrets.notice_key)
    ring = keys.read()                    # at start; SettingsError when the file can't be used
    ring.signing(now_s)                   # the key for new tokens
    fresh = keys.read_if_changed()        # now and then: a new ring, or None

Without more, there is one key, number 0, made from the installation's secret. `hustings keys rotate` writes a
file `notice-keys` beside the secret, with the keys whose tokens are accepted:

    {"keys": [{"id": 0, "signs_from_s": 0},
              {"id": 1, "signs_from_s": 1793736000, "key": "5f0c…64 hex digits"}]}

A new key signs from some minutes later, so that every host can have the file before the first token of the
new key comes to it: a process reads a changed file within two seconds, and nobody has to be restarted. The
key before stays as long as any notice of its tokens may count (NOTICE_KEY_SECONDS_MAX after its last token);
the first rotation after that leaves it out. The number of the key is in the token, so that reading one costs
a single digest however many keys there are.
"""

import os
import secrets
from pathlib import Path

import msgspec

from config.limits import NOTICE_KEY_SECONDS_MAX, NOTICE_KEYS_MAX
from config.settings import SettingsError, read_private

KEY_BYTES = 32
FILE_NAME = "notice-keys"


class NoticeKey(msgspec.Struct, frozen=True):
    """One key. It signs from `signs_from_s`, in epoch seconds, until the next one does."""

    id: int
    key: bytes
    signs_from_s: int


class Keyring(msgspec.Struct, frozen=True):
    """The keys that are accepted, in the order in which they sign; never empty."""

    keys: tuple[NoticeKey, ...]

    def signing(self, now_s: float) -> NoticeKey:
        """Return the key for a token made now."""
        begun = [key for key in self.keys if key.signs_from_s <= now_s]
        return begun[-1] if begun else self.keys[0]

    def accepted_until_s(self, key: NoticeKey) -> int | None:
        """Return when the last token of a key is worth nothing any more; None while it has no successor."""
        place = self.keys.index(key) + 1
        return self.keys[place].signs_from_s + NOTICE_KEY_SECONDS_MAX if place < len(self.keys) else None

    def rotated(self, now_s: int, wait_s: int, fresh: bytes) -> "Keyring":
        """Return the ring with one key more, which signs after `wait_s`, and without those that are over.

        Raises SettingsError when all numbers are taken, or the key before does not sign yet.
        """
        if self.keys[-1].signs_from_s > now_s:
            raise SettingsError(f"key {self.keys[-1].id} does not sign yet; rotate again when it does")
        kept = [key for key in self.keys if (self.accepted_until_s(key) or now_s) >= now_s]
        free = sorted(set(range(NOTICE_KEYS_MAX)) - {key.id for key in self.keys})
        if not free:
            raise SettingsError(
                f"{NOTICE_KEYS_MAX} keys are accepted, which is all there may be; look at "
                "`hustings keys list`, and take the oldest off with `hustings keys drop ID`"
            )
        return Keyring((*kept, NoticeKey(free[0], fresh, now_s + wait_s)))

    def without(self, key_id: int) -> "Keyring":
        """Return the ring without a key, whose tokens are forgeries from now on. Raises SettingsError."""
        kept = tuple(key for key in self.keys if key.id != key_id)
        if len(kept) == len(self.keys):
            raise SettingsError(f"there is no key {key_id}; `hustings keys list` shows those there are")
        if not kept:
            raise SettingsError(f"key {key_id} is the only one: `hustings keys rotate` first")
        return Keyring(kept)


class _Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    id: int
    signs_from_s: int
    key: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[_Entry]


class KeyFile:
    """The file beside a secret, which need not exist."""

    def __init__(self, secret_file: Path, secret_key: bytes) -> None:
        """`secret_key` is the key made from the secret: number 0."""
        self.path = secret_file.parent / FILE_NAME
        self._secret_key = secret_key
        self._seen: tuple[int, ...] = ()

    def read(self) -> Keyring:
        """Return the keys. Raises SettingsError when the file can't be read, or holds something else."""
        self._seen = self._state()
        if not self._seen:
            return Keyring((NoticeKey(0, self._secret_key, 0),))
        content = read_private(self.path, "the file of notice keys")
        try:
            entries = msgspec.json.decode(content, type=_File).keys
            keys = [self._key(entry) for entry in entries]
        except ValueError as error:
            raise self._unusable(str(error)) from None
        if not keys or len({key.id for key in keys}) < len(keys):
            raise self._unusable("no key, or one number twice")
        return Keyring(tuple(sorted(keys, key=lambda key: key.signs_from_s)))

    def read_if_changed(self) -> Keyring | None:
        """Return the keys when the file is another than at the last look, else None. Raises SettingsError."""
        return self.read() if self._state() != self._seen else None

    def write(self, ring: Keyring) -> None:
        """Put a ring in the place of what is there, whole or not at all. Raises SettingsError."""
        entries = [
            _Entry(key.id, key.signs_from_s, key.key.hex() if key.id or key.key != self._secret_key else "")
            for key in ring.keys
        ]
        fresh = self.path.with_name(f"{FILE_NAME}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(_File(entries)), indent=1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise SettingsError(f"can't write {self.path}: {error.strerror}") from None

    def _key(self, entry: _Entry) -> NoticeKey:
        if not 0 <= entry.id < NOTICE_KEYS_MAX:
            raise ValueError(f"a key's number is from 0 to {NOTICE_KEYS_MAX - 1}, not {entry.id}")
        key = bytes.fromhex(entry.key)
        if not key and entry.id == 0:
            key = self._secret_key
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {entry.id} is not {2 * KEY_BYTES} hex digits")
        return NoticeKey(entry.id, key, entry.signs_from_s)

    def _state(self) -> tuple[int, ...]:
        """Tell one content of the file from the next; () when there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise SettingsError(f"can't read {self.path}: {error.strerror}") from None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _unusable(self, why: str) -> SettingsError:
        return SettingsError(
            f"the file of notice keys {self.path} can't be used ({why}); copy it again from a host where "
            "`hustings keys list` shows it"
        )
