"""The files and settings of an installation: its secrets, its config, and how it shows itself."""

from collections.abc import Iterator
from pathlib import Path

from bidder.doctor.finding import Finding, fail, ok, warn
from bidder.supervisor import is_loopback
from config.faults import ConfigFaults
from config.load import load_folder
from config.notice_keys import KeyFile
from config.price_keys import require_price_keys
from config.schema import Bundle
from config.settings import SECRET_ENV, SettingsError, load_admin_token, load_secrets


def secret_findings(secret: Path, *, shared: bool) -> Iterator[Finding]:
    """Yield what there is to say of the secret and the notice keys; `shared` by several hosts."""
    if not secret.exists():
        if shared:
            says = f"there is no {secret}; a secret made here would be another than the other hosts'"
            yield warn("secret", says, f"copy the installation's, and name it in {SECRET_ENV}")
        else:
            yield ok("secret", f"{secret} is made at the first start")
        return
    try:
        key = load_secrets(secret).notice_key
    except SettingsError as error:
        yield fail("secret", str(error), "as it says; bids and audiences depend on it")
        return
    yield ok("secret", f"{secret}, private and long enough")
    try:
        ring = KeyFile(secret, key).read()
    except SettingsError as error:
        yield fail("notice keys", str(error), "as it says; notices are refused as forged without them")
    else:
        yield ok("notice keys", f"{len(ring.keys)} accepted")


def admin_finding(host: str, token_file: str) -> Finding:
    """Say whether nobody but operators can see the admin port on this host and with this token."""
    if token_file:
        try:
            load_admin_token(Path(token_file))
        except SettingsError as error:
            return fail("admin token", str(error), "as it says; the engine does not start without it")
        return ok("admin token", f"{token_file}, private and long enough")
    if not is_loopback(host):
        says = f"the admin port on {host} would be open to whoever reaches it"
        return fail("admin token", says, "name a token with --admin-token")
    return ok("admin token", "none is needed on loopback")


def folder_findings(folder: Path) -> tuple[Bundle | None, list[Finding]]:
    """Read a config folder; return what it holds, when it is sound."""
    try:
        bundle = load_folder(folder)
    except ConfigFaults as error:
        says = f"{len(error.faults)} faults, the first: {error.faults[0]}"
        return None, [fail("config", says, f"`hustings config check {folder}` shows all of them")]
    return bundle, [ok("config", f"{folder} is sound")]


def price_finding(bundle: Bundle, price_keys: str) -> Finding:
    """Say whether the keys are there for each exchange that encrypts its prices."""
    try:
        require_price_keys(bundle.exchanges, price_keys)
    except SettingsError as error:
        return fail("price keys", str(error), "as it says; encrypted prices can't be booked without them")
    return ok("price keys", "every exchange that encrypts its prices has them, or none does")
