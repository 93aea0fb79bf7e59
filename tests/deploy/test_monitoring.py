"""Rules and dashboard: they parse, and every metric, label and label value in them is one of ours."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.metrics import Counter, Histogram, MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from bidder import metrics
from bidder.admin.collector import SnapshotCollector
from bidder.admin.readiness import Readiness
from bidder.admin.snapshot import Snapshot
from bidder.decision.reasons import Reason
from bidder.events.outcome import Outcome
from config.settings import Settings
from pacing.plan import Plan
from tests import factories
from tests.deploy.repository import DEPLOY, DOCS, read_yaml
from tests.waiting import SECONDS_MAX

RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "hustings.json").read_text())
SCRAPED_LABELS = {"instance", "job"}
BUILT_IN = {"up", "ALERTS"}

_IDENTIFIER = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_SELECTOR = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)\{([^}]*)\}")
_MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')


def own_metrics() -> dict[str, set[str]]:
    """Every sample name that a scrape can hold, with its labels."""
    samples: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        name, labels = metric._name, set(metric._labelnames)
        if isinstance(metric, Counter):
            samples[f"{name}_total"] = labels
        elif isinstance(metric, Histogram):
            samples |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            each_process = getattr(metric, "_multiprocess_mode", "") == "liveall"
            samples[name] = labels | ({"pid"} if each_process else set())
    for family in collected():
        info = family.type == "info"
        labels = set(getattr(family, "_labelnames", ()))
        samples[f"{family.name}_info" if info else family.name] = labels
    return samples


def collected() -> Iterator[Metric]:
    snapshot = Snapshot(
        now_s=0.0,
        readiness=Readiness(""),
        metrics=(),
        bundle=factories.bundle(),
        accounts={},
        plan=Plan(made_at_s=0.0, version=1),
        stop=None,
        redis=None,
        freshness=None,
    )
    return SnapshotCollector(snapshot).collect()


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]


def alerts() -> list[str]:
    return [rule["alert"] for rule in rules() if "alert" in rule]


def targets() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield from panel.get("targets", ())


EXPRESSIONS = [rule["expr"] for rule in rules()] + [target["expr"] for target in targets()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_exist(expression: str) -> None:
    own = own_metrics()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    bare = re.sub(r'"[^"]*"', "", expression)
    names = {name for name in _IDENTIFIER.findall(bare) if name.startswith("hustings_") or ":" in name[1:]}
    used = names - {"$__rate_interval"}
    assert used or BUILT_IN & set(_IDENTIFIER.findall(bare)), "it asks for nothing of ours"
    assert used <= own.keys() | recorded
    for name, matchers in _SELECTOR.findall(expression):
        for label, value in _MATCHER.findall(matchers):
            if name in own:
                assert label in own[name] | SCRAPED_LABELS, f"{name} has no label {label}"
            check_value(name, label, value)


def test_what_an_alert_waits_for_the_first_of_is_there_before_it() -> None:
    begun = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import bidder.metrics, bidder.port.tally, bidder.events.outcome, prometheus_client as p;"
            "print(p.generate_latest().decode())",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    series = [
        (sample.name, sample.labels)
        for family in text_string_to_metric_families(begun.stdout)
        for sample in family.samples
    ]
    first_ones = [rule for rule in rules() if re.search(r"increase\(.*\) > 0\s*$", rule["expr"], re.DOTALL)]
    assert len(first_ones) >= 4
    for rule in first_ones:
        name, matchers = re.findall(r"increase\(\s*(\w+)(?:\{([^}]*)\})?", rule["expr"])[0]
        wanted = {label: value.split("|") for label, value in _MATCHER.findall(matchers)}
        for values in itertools.product(*wanted.values()):
            labels = dict(zip(wanted, values, strict=True))
            assert any(name == of and labels.items() <= own.items() for of, own in series), (
                f"{rule['alert']} can't see the first of {name}{labels}"
            )


def check_value(name: str, label: str, pattern: str) -> None:
    known: set[str] | None = None
    if (name, label) == ("hustings_notices_total", "outcome"):
        known = {outcome.value for outcome in Outcome}
    elif (name, label) == ("hustings_notices_total", "kind"):
        known = {"win", "bill", "loss", "impression", "click", "conversion"}
    elif (name, label) == ("hustings_no_bids_total", "reason"):
        known = {reason.name.lower() for reason in Reason}
    elif (name, label) == ("hustings_config_version", "part"):
        known = {"bid", "events", "admin", "training"}
    elif (name, label) == ("hustings_bid_requests_total", "outcome"):
        known = {"bid", "no_bid", "invalid", "unknown_exchange"}
    if known is not None:
        assert set(pattern.split("|")) <= known, f"{label}={pattern!r} never happens in {name}"


def test_every_metric_is_shown_or_watched_and_explained() -> None:
    explained = (DOCS / "operations.md").read_text()
    asked = " ".join(EXPRESSIONS)
    for name in own_metrics():
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert f"`{family}`" in explained, f"docs/operations.md does not explain {family}"
    # Of these the text of an alert, or a person, has no use but in a table.
    unseen = {name for name in own_metrics() if not re.search(rf"\b{name}\b", asked)}
    assert unseen <= {
        "hustings_batch_requests_bucket",
        *(
            f"hustings_{name}_seconds_{part}"
            for name in ("queue_age", "loop_lag", "gc_pause")
            for part in ("sum", "count")
        ),
        "hustings_bid_latency_seconds_sum",
        "hustings_bid_latency_seconds_count",
        "hustings_sync_seconds_sum",
        "hustings_sync_seconds_count",
        "hustings_spend_total",
        "hustings_ledger_accounts",
        "hustings_config_info",
        "hustings_build_info",
    }


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_has_a_severity_a_summary_an_entry_in_the_runbook_and_a_test(alert: str) -> None:
    (rule,) = [rule for rule in rules() if rule.get("alert") == alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert f"\n### {alert}\n" in (DOCS / "operations.md").read_text()
    tests = read_yaml(DEPLOY / "prometheus" / "rules_test.yml")["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ()) if case["alertname"] == alert]
    assert any(case["exp_alerts"] for case in cases), "no test makes it fire"
    assert any(not case["exp_alerts"] for case in cases), "no test keeps it quiet"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "words",
    ["check config --syntax-only prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"],
)
def test_promtool_finds_nothing_wrong(words: str) -> None:
    result = subprocess.run(
        ["promtool", *words.split()], cwd=RULES.parent, capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_scrapes_the_admin_port_of_the_engine() -> None:
    services = read_yaml(DEPLOY / "compose.yaml")["services"]
    settings = Settings(redis_url="", secret_file="", data_dir="", metrics_dir="")
    (job,) = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    (token,) = services["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{token['target']}"
    assert f'job="{job["job_name"]}"' in RULES.read_text()
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in services
    assert int(port) == settings.admin_port


def test_grafana_finds_the_dashboard_and_its_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    services = read_yaml(DEPLOY / "compose.yaml")["services"]
    (source,) = read_yaml(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in services
    assert {target["datasource"]["uid"] for target in targets()} == {source["uid"]}
    (provider,) = read_yaml(provisioning / "dashboards" / "hustings.yaml")["providers"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in services["grafana"]["volumes"]}
    folder = DEPLOY / mounted[provider["options"]["path"]]
    assert [path.name for path in folder.glob("*.json")] == ["hustings.json"]


def test_no_two_panels_share_an_id_or_a_place() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
