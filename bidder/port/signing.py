"""Who signs a worker's notice tokens: the key whose time has come.

    signing = NoticeSigning(KeyFile(secret_file, secrets.notice_key), now_s)
    signing.signer                        # for the tokens of now
    signing.follow(now_s)                 # twice a second: whether there is another signer

`config.notice_keys` tells what is in the file, and when a key's time comes.
"""

import logging

from bidder import metrics
from bidder.openrtb.notice_token import TokenSigner
from config.notice_keys import KeyFile, Keyring, NoticeKey
from config.settings import SettingsError

_LOG = logging.getLogger(__name__)


class NoticeSigning:
    """The signer of one worker, kept in step with the file of notice keys."""

    def __init__(self, key_file: KeyFile, now_s: float) -> None:
        """Raises SettingsError when the file can't be used."""
        self._key_file = key_file
        self._take(key_file.read())
        self._sign_with(self._keyring.signing(now_s))

    def follow(self, now_s: float) -> bool:
        """Sign with the key whose time has come, from the file as it is now; tell whether it is another."""
        try:
            changed = self._key_file.read_if_changed()
        except SettingsError as error:
            _LOG.warning("the notice keys stay as they were: %s", error)
        else:
            if changed is not None:
                self._take(changed)
        key = self._keyring.signing(now_s)
        if key == self._key:
            return False
        self._sign_with(key)
        return True

    def _take(self, ring: Keyring) -> None:
        self._keyring = ring
        metrics.NOTICE_KEYS.labels("bid").set(metrics.notice_keys_number(ring))

    def _sign_with(self, key: NoticeKey) -> None:
        self._key = key
        self.signer = TokenSigner(key.key, key.id)
