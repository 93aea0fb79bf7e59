"""Real child processes for tests: started and stopped as the supervisor does it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.settings import Settings, load_secrets
from tests.waiting import SECONDS_MAX

REPOSITORY = Path(__file__).parents[2]
SECRET = "0123456789abcdef" * 3


def bundle_key(given: Settings) -> bytes:
    """Return what an installation signs its configs with."""
    return load_secrets(Path(given.secret_file)).bundle_key


def settings(redis_url: str, folder: Path, **changes: object) -> Settings:
    """Settings of an installation in a folder, on any free ports."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    metrics = folder / "metrics"
    metrics.mkdir(exist_ok=True)
    return Settings(
        redis_url=redis_url,
        secret_file=str(secret),
        data_dir=str(folder),
        metrics_dir=str(metrics),
        bid_port=0,
        events_port=int(str(changes.get("events_port", 0))),
        admin_port=0,
        drain_seconds=0.0,
    )


class Child:
    """A process that has been given its settings."""

    def __init__(self, module: str, given: Settings) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=REPOSITORY,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": given.metrics_dir},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(given.to_json() + b"\n")
        self.process.stdin.flush()

    def wait_until_ready(self) -> int:
        """Return the port it serves."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().split()
        if line[:1] != ["ready"]:
            raise AssertionError(f"not ready: {self.end()}")
        return int(line[1])

    def end(self) -> tuple[int, str]:
        """Wait for it to end; return its exit status and what it said on stderr."""
        _, errors = self.process.communicate(timeout=SECONDS_MAX)
        return self.process.returncode, errors.decode()

    def close_stdin(self) -> None:
        """Do what the death of the supervisor does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        # `communicate` would flush it.
        self.process.stdin = None

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def child(module: str, given: Settings) -> Iterator[Child]:
    """Start a process, and leave none behind."""
    started = Child(module, given)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.communicate(timeout=SECONDS_MAX)
