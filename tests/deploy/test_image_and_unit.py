"""The image, the compose file and the systemd unit: what they name exists, and what they run parses."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from bidder.cli.serve import ROLL_SIGNAL
from bidder.supervisor import STOP_SECONDS_MAX
from config import embedded_server
from config.load import load_folder
from config.settings import ADMIN_TOKEN_ENV, SECRET_ENV, Settings
from tests.deploy.repository import DEPLOY, ROOT, parse_command, read_yaml
from tests.waiting import SECONDS_MAX

CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
INSTRUCTIONS = [line for line in re.sub(r"\\\n", " ", CONTAINERFILE).splitlines() if line[:1].isalpha()]
SETTINGS = Settings(redis_url="", secret_file="", data_dir="", metrics_dir="")
PORTS = {SETTINGS.bid_port, SETTINGS.events_port, SETTINGS.admin_port}
DRAIN_SECONDS = 2 * STOP_SECONDS_MAX
"""The workers may take so long, and then the other processes."""


def copied_sources() -> list[str]:
    copies = [line.split()[1:] for line in INSTRUCTIONS if line.startswith("COPY ")]
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


def test_the_image_copies_files_that_exist_and_are_sent_to_the_builder() -> None:
    rules = (DEPLOY / "Containerfile.dockerignore").read_text().split()
    for source in copied_sources():
        assert (ROOT / source).exists(), source
        assert rules[0] == "*"
        assert f"!{source}" in rules, f"{source} is kept out by Containerfile.dockerignore"


def test_the_image_holds_every_package_of_the_project() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    wanted = {name for name in packages if any(fnmatch(name, rule) for rule in patterns["include"])}
    assert {"bidder", "config"} <= wanted
    assert wanted <= set(copied_sources())


def test_the_image_runs_a_command_line_that_exists_as_nobody_special() -> None:
    entrypoint = json.loads(instruction("ENTRYPOINT"))
    options = parse_command(entrypoint)
    assert {options[f"{part}_host"] for part in ("bid", "events", "admin")} == {"0.0.0.0"}
    assert set(map(int, instruction("EXPOSE").split())) == PORTS
    user = instruction("USER")
    assert f"--uid 10001 --create-home {user}" in CONTAINERFILE
    assert CONTAINERFILE.index("USER ") < CONTAINERFILE.index("warm_up()")


def test_the_image_warms_up_with_a_call_that_exists() -> None:
    (program,) = re.findall(r'^RUN python -c "(.+)"$', CONTAINERFILE, re.MULTILINE)
    exec(program, {})


def test_the_image_is_healthy_when_the_admin_port_is_live() -> None:
    words = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    compile(words[2], "healthcheck", "exec")
    assert f"http://127.0.0.1:{SETTINGS.admin_port}/live" in words[2]


def instruction(name: str) -> str:
    (found,) = [line.partition(" ")[2].strip() for line in INSTRUCTIONS if line.startswith(name + " ")]
    return found


@pytest.fixture(scope="module")
def compose() -> Any:
    return read_yaml(DEPLOY / "compose.yaml")


def substituted(text: str) -> str:
    """Put defaults in the place of variables, and an address where one is asked for."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "https://ev.example", text)


def test_compose_starts_the_engine_with_a_command_line_that_exists(compose: Any) -> None:
    engine = compose["services"]["engine"]
    entrypoint = json.loads(instruction("ENTRYPOINT"))
    options = parse_command(entrypoint + [substituted(word) for word in engine["command"]])
    assert options["redis_url"] == "redis://valkey:6379/0"
    assert options["events_url"] == "https://ev.example"
    targets = {substituted(volume).split(":")[1] for volume in engine["volumes"]}
    assert str(options["config"]) in targets
    assert {int(port.split(":")[-1]) for port in engine["ports"]} == PORTS


def test_compose_names_files_that_exist_and_opens_ports_on_loopback(compose: Any) -> None:
    build = compose["services"]["engine"]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert (context / build["dockerfile"]) == DEPLOY / "Containerfile"
    named = set(compose["volumes"])
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = substituted(volume).split(":")[0]
            assert source in named or (DEPLOY / source).exists(), source
        for port in service.get("ports", ()):
            assert substituted(port).startswith("127.0.0.1:"), port
    load_folder(DEPLOY / substituted(compose["services"]["engine"]["volumes"][0]).split(":")[0])


def test_compose_hands_over_the_secret_as_a_file_git_ignores(compose: Any) -> None:
    engine = compose["services"]["engine"]
    secret, token = engine["secrets"]
    assert engine["environment"][SECRET_ENV] == f"/run/secrets/{secret}"
    assert engine["environment"][ADMIN_TOKEN_ENV] == f"/run/secrets/{token}"
    ignored = (DEPLOY / ".gitignore").read_text().split()
    assert {Path(found["file"]).name for found in compose["secrets"].values()} <= set(ignored)


def test_compose_gives_valkey_the_settings_of_the_private_server(compose: Any, tmp_path: Path) -> None:
    given = {word.removeprefix("--") for word in compose["services"]["valkey"]["command"][1:]}
    ours = set(embedded_server._config_lines(tmp_path, 1, "password", durable=True))
    assert len(given) >= 5
    assert given <= ours


def test_compose_waits_for_the_engine_to_drain(compose: Any) -> None:
    assert int(compose["services"]["engine"]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS


@pytest.fixture(scope="module")
def unit() -> str:
    return (DEPLOY / "systemd" / "hustings.service").read_text()


def setting(unit: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(value)


def test_the_unit_runs_a_command_line_that_exists(unit: str) -> None:
    program, *words = shlex.split(setting(unit, "ExecStart"))
    options = parse_command([Path(program).name, *words])
    assert str(options["data"]) == setting(unit, "WorkingDirectory")
    assert options["data"].name == setting(unit, "StateDirectory")


def test_the_unit_stops_the_supervisor_alone_and_waits_for_it(unit: str) -> None:
    assert setting(unit, "KillMode") == "mixed"
    assert int(setting(unit, "TimeoutStopSec")) > DRAIN_SECONDS + embedded_server.STOP_SECONDS_MAX


def test_a_reload_of_the_unit_replaces_the_processes(unit: str) -> None:
    assert setting(unit, "ExecReload") == f"/bin/kill -{ROLL_SIGNAL.name.removeprefix('SIG')} $MAINPID"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_every_line_of_the_unit(unit: str, tmp_path: Path) -> None:
    program = shlex.split(setting(unit, "ExecStart"))[0]
    copy = tmp_path / "hustings.service"
    copy.write_text(unit.replace(program, "/bin/true"))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    complaints = [line for line in result.stderr.splitlines() if "hustings.service" in line]
    assert complaints == []
    assert result.returncode == 0
