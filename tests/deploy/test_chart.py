"""The Helm chart: rendered, linted, and held against what Kubernetes and the engine make of it.

No cluster is at hand, nor its schemas: what is checked is that all names agree with each other (selectors,
ports, volumes, targets), that the command lines are the program's, and that no pod has more rights than it
needs.
"""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from bidder.cli.redis_option import REDIS_FILE_ENV
from bidder.supervisor import STOP_SECONDS_MAX
from config.limits import SPOOL_BYTES_MAX
from config.settings import ADMIN_TOKEN_ENV, SECRET_ENV, Role
from tests.deploy.repository import DEPLOY, DOCS, ROOT, parse_command, read_yaml
from tests.waiting import SECONDS_MAX

CHART = DEPLOY / "helm" / "hustings"
KUBERNETES = "1.30.0"
EVENTS_URL = "https://ev.example"
EVERYTHING = (
    *("serviceMonitor.enabled=true", "redis.tlsSecret=redis-tls", "config.existingConfigMap=campaigns"),
    *("events.storage.className=fast", "bid.autoscaling.enabled=false", "image.tag=1.2.3"),
)
API_VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Service": "v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}


def helm() -> str:
    """The program, from the path or where Go installs it; skips without."""
    found = shutil.which("helm", path=f"{os.environ.get('PATH', '')}:{ROOT / 'build' / 'tools'}")
    if found is None:
        pytest.skip("helm is not installed (go install helm.sh/helm/v3/cmd/helm)")
    return found


def render(folder: Path, *values: str) -> list[dict[str, Any]]:
    words = [word for value in (f"events.url={EVENTS_URL}", *values) for word in ("--set", value)]
    result = subprocess.run(
        [helm(), "template", "north", str(CHART), "--kube-version", KUBERNETES, *words],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert result.returncode == 0, result.stderr
    found = []
    for number, text in enumerate(result.stdout.split("\n---\n")):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        if any(line and not line.startswith(("#", "---")) for line in text.splitlines()):
            found.append(read_yaml(path))
    return found


@pytest.fixture(scope="module", params=[(), EVERYTHING], ids=["defaults", "everything"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return render(tmp_path_factory.mktemp("chart"), *request.param)


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [found for found in objects if found["kind"] in kinds]


def workloads(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return of_kind(objects, "Deployment", "StatefulSet")


def containers(objects: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each pod's specification, and its container."""
    for workload in workloads(objects):
        spec = workload["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        yield spec, container


def options(container: dict[str, Any]) -> dict[str, Any]:
    return parse_command(["hustings", "serve", *container["args"]])


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_helm_finds_nothing_wrong() -> None:
    words = ["--set", f"events.url={EVENTS_URL}", "--kube-version", KUBERNETES, "--strict"]
    result = subprocess.run(
        [helm(), "lint", str(CHART), *words], capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_without_an_events_url_it_says_what_is_missing() -> None:
    words = [helm(), "template", "north", str(CHART), "--kube-version", KUBERNETES]
    result = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert result.returncode != 0
    assert "events.url: how exchanges and browsers reach" in result.stderr


def test_every_object_is_of_a_known_version_and_has_a_name_of_its_own(objects: list[dict[str, Any]]) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(set(names)) == len(names)
    for found in objects:
        assert found["apiVersion"] == API_VERSIONS[found["kind"]]
        assert len(found["metadata"]["name"]) <= 63
        assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "north"


def test_selectors_find_the_pods_they_mean(objects: list[dict[str, Any]]) -> None:
    pods = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads(objects)]
    for workload in workloads(objects):
        wanted = workload["spec"]["selector"]["matchLabels"]
        assert [labels for labels in pods if matches(wanted, labels)] == [
            workload["spec"]["template"]["metadata"]["labels"]
        ], "a workload owns its own pods alone"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert sum(matches(budget["spec"]["selector"]["matchLabels"], labels) for labels in pods) == 1
        assert budget["spec"]["maxUnavailable"] == 1
    for service in of_kind(objects, "Service"):
        assert any(matches(service["spec"]["selector"], labels) for labels in pods)
    (policy,) = of_kind(objects, "NetworkPolicy")
    assert all(matches(policy["spec"]["podSelector"]["matchLabels"], labels) for labels in pods)
    for monitor in of_kind(objects, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        services = [found["metadata"]["labels"] for found in of_kind(objects, "Service")]
        assert sum(matches(wanted, labels) for labels in services) == 1, "each pod is scraped once"


def test_named_ports_exist_where_they_are_asked_for(objects: list[dict[str, Any]]) -> None:
    pods = [(workload["spec"]["template"]["metadata"]["labels"], workload) for workload in workloads(objects)]
    for service in of_kind(objects, "Service"):
        for labels, workload in pods:
            if matches(service["spec"]["selector"], labels):
                (container,) = workload["spec"]["template"]["spec"]["containers"]
                named = {port["name"] for port in container["ports"]}
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    for _, container in containers(objects):
        named = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            (how,) = (container[probe][kind] for kind in ("httpGet", "tcpSocket") if kind in container[probe])
            assert how["port"] in named
            assert how.get("path", "/ready") in ("/live", "/ready")


def test_the_command_lines_are_the_programs_and_every_part_runs_with_its_metrics(
    objects: list[dict[str, Any]],
) -> None:
    run: set[Role] = set()
    for _, container in containers(objects):
        parsed = options(container)
        roles = set(parsed["only"])
        assert Role.ADMIN in roles
        assert parsed["events_url"] == EVENTS_URL
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {role.value: parsed[f"{role.value}_port"] for role in roles}
        run |= roles
    assert run == set(Role)


def test_what_is_mounted_is_there_and_what_is_there_is_mounted(objects: list[dict[str, Any]]) -> None:
    for workload in workloads(objects):
        spec = workload["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(mounts) == volumes
        parsed = options(container)
        assert str(parsed["data"]) == mounts["data"]
        if parsed["config"] is not None:
            assert str(parsed["config"]) == mounts["campaigns"]
        environment = {variable["name"]: variable["value"] for variable in container["env"]}
        for name in (REDIS_FILE_ENV, SECRET_ENV, ADMIN_TOKEN_ENV):
            assert str(Path(environment[name]).parent) in (mounts["redis"], mounts["secrets"])


def test_the_kernels_of_the_image_are_used_though_its_files_can_not_be_written(
    objects: list[dict[str, Any]],
) -> None:
    (folder,) = re.findall(r"NUMBA_CACHE_DIR=(\S+)", (DEPLOY / "Containerfile").read_text())
    for spec, container in containers(objects):
        (copying,) = spec["initContainers"]
        (target,) = [mount["mountPath"] for mount in copying["volumeMounts"] if mount["name"] == "kernels"]
        assert copying["command"] == ["cp", "-a", f"{folder}/.", target]
        assert copying["image"] == container["image"]
        assert copying["securityContext"] == container["securityContext"]
        (place,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "kernels"]
        assert place == folder


def test_notices_that_wait_are_on_a_volume_that_outlives_the_pod(objects: list[dict[str, Any]]) -> None:
    (events,) = of_kind(objects, "StatefulSet")
    (claim,) = events["spec"]["volumeClaimTemplates"]
    size = claim["spec"]["resources"]["requests"]["storage"]
    assert int(size.removesuffix("Gi")) * 2**30 > 8 * SPOOL_BYTES_MAX
    headless = [found for found in of_kind(objects, "Service") if found["spec"].get("clusterIP") == "None"]
    assert events["spec"]["serviceName"] in {found["metadata"]["name"] for found in headless}


def test_no_pod_has_more_rights_than_it_needs_and_secrets_are_files(objects: list[dict[str, Any]]) -> None:
    user = 10001
    assert f"--uid {user}" in (DEPLOY / "Containerfile").read_text()
    for spec, container in containers(objects):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == user
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        for volume in spec["volumes"]:
            if "secret" in volume:
                # Root's, and its group's: `config.settings.read_private` takes no more.
                assert volume["secret"]["defaultMode"] in (0o440, 440)
        for variable in container["env"]:
            assert "valueFrom" not in variable
        assert {"requests", "limits"} <= container["resources"].keys()


def test_a_pod_is_given_the_time_to_drain(objects: list[dict[str, Any]]) -> None:
    for spec, container in containers(objects):
        (pause,) = [
            word for word in container["lifecycle"]["preStop"]["exec"]["command"] if "time.sleep" in word
        ]
        pause_s = int(pause.partition("sleep(")[2].rstrip(")"))
        # The workers end first, and then the others.
        assert spec["terminationGracePeriodSeconds"] > pause_s + 2 * STOP_SECONDS_MAX


def test_workers_are_scaled_by_processor_and_by_what_they_shed(tmp_path: Path) -> None:
    objects = render(tmp_path)
    (scaler,) = of_kind(objects, "HorizontalPodAutoscaler")
    (bid,) = of_kind(objects, "Deployment")
    assert scaler["spec"]["scaleTargetRef"]["name"] == bid["metadata"]["name"]
    assert "replicas" not in bid["spec"], "the autoscaler's, and an upgrade must not undo it"
    kinds = {metric["type"]: metric for metric in scaler["spec"]["metrics"]}
    assert kinds["Resource"]["resource"]["name"] == "cpu"
    name = kinds["Pods"]["pods"]["metric"]["name"]
    assert name in (CHART / "templates" / "NOTES.txt").read_text(), "it says what makes the metric"
    assert name in (DOCS / "operations.md").read_text()
    assert scaler["spec"]["minReplicas"] >= 2


def test_the_chart_is_of_this_release() -> None:
    chart = read_yaml(CHART / "Chart.yaml")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert Version(chart["appVersion"]) == Version(version)
