// The dashboard: listens to /stream and shows what it hears.
//
// Everything goes through textContent or a numeric attribute: what a config names can't be markup. Only the
// state of the engine is announced to a screen reader, and only when it changes.

import { timePlot } from "./plots.js";

const PULSES_MAX = 300;
const NOW_S = 10, WIN_RATE_S = 60;
const RECONNECT_MS = 5000;
const RATE_POINT_S = 10;

const at = (id) => document.getElementById(id);
const say = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
const whole = new Intl.NumberFormat();
const percent = (share) => share === null ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const millis = (ms) => ms === null || ms === undefined ? "–" : `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
const perSecond = (rate) => rate === null ? "–" : whole.format(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate));

let pulses = [];

// -- time ----------------------------------------------------------------------------------------

function ago(seconds) {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 0)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

// -- elements ------------------------------------------------------------------------------------

function element(tag, kind, ...content) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}

function heading(text, ...rest) {
  const made = element("th", "", text, ...rest);
  made.scope = "row";
  return made;
}

const cell = (text, kind = "n") => element("td", kind, text);
const row = (...cells) => element("tr", "", ...cells);

function fill(id, rows, columns, none = "none") {
  if (rows.length === 0) {
    const empty = element("td", "none", none);
    empty.colSpan = columns;
    rows = [row(empty)];
  }
  // What has not changed stays where a reader, or a selection, is.
  const shown = [...at(id).children];
  rows.forEach((made, index) => {
    if (index >= shown.length) at(id).append(made);
    else if (!shown[index].isEqualNode(made)) shown[index].replaceWith(made);
  });
  shown.slice(rows.length).forEach((left) => left.remove());
}

function facts(id, pairs) {
  at(id).replaceChildren(...pairs.flatMap(([name, value, kind]) => [element("dt", "", name), element("dd", kind || "", value)]));
}

// Drawn with attributes: the page's policy allows no inline style.
function drawing(kind, rects) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("class", kind);
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, x, width] of rects) {
    const rect = document.createElementNS(ns, "rect");
    rect.setAttribute("class", name);
    rect.setAttribute("x", x);
    rect.setAttribute("width", width);
    rect.setAttribute("height", name === "due" ? 10 : 6);
    rect.setAttribute("y", name === "due" ? 0 : 2);
    svg.append(rect);
  }
  return svg;
}

const within = (share) => Math.min(Math.max(share || 0, 0), 1);

// -- pulses --------------------------------------------------------------------------------------

function sums(part) {
  const total = { seconds: 0, requests: 0, answers: 0, bids: 0, wins: 0, impressions: 0 };
  for (const pulse of part) for (const name in total) total[name] += pulse[name];
  return total;
}

const since = (seconds) => pulses.length ? pulses.filter((pulse) => pulse.at_s > pulses.at(-1).at_s - seconds) : [];
const ratio = (part, all) => all > 0 ? part / all : null;

const plots = {
  traffic: timePlot(at("traffic-plot"), at("traffic-legend"), [
    { label: "requests", tone: "one", show: perSecond, fill: true },
    { label: "with a bid", tone: "two", show: perSecond },
  ]),
  rates: timePlot(at("rates-plot"), at("rates-legend"), [
    { label: "bid rate", tone: "two", show: (value) => percent(value / 100) },
    { label: "win rate", tone: "three", show: (value) => percent(value / 100) },
  ], { max: 100 }),
  latency: timePlot(at("latency-plot"), at("latency-legend"), [
    { label: "p50", tone: "one", show: millis },
    { label: "p95", tone: "three", show: millis },
    { label: "p99", tone: "two", show: millis },
  ]),
};

function slidingRate(index, part, all) {
  let wins = 0, bids = 0;
  for (let i = index; i >= 0 && pulses[i].at_s > pulses[index].at_s - RATE_POINT_S; i--) {
    wins += pulses[i][part];
    bids += pulses[i][all];
  }
  return bids > 0 ? Math.min(100 * wins / bids, 100) : null;
}

function showPulses() {
  const times = pulses.map((pulse) => pulse.at_s);
  plots.traffic.draw([times, pulses.map((pulse) => pulse.requests / pulse.seconds), pulses.map((pulse) => pulse.answers / pulse.seconds)]);
  plots.rates.draw([times, pulses.map((_, index) => slidingRate(index, "answers", "requests")), pulses.map((_, index) => slidingRate(index, "wins", "bids"))]);
  plots.latency.draw([times, ...["p50_ms", "p95_ms", "p99_ms"].map((name) => pulses.map((pulse) => pulse[name]))]);
  const now = sums(since(NOW_S)), minute = sums(since(WIN_RATE_S));
  say("rate", perSecond(ratio(now.requests, now.seconds)));
  say("impression-rate", perSecond(ratio(now.impressions, now.seconds)));
  say("bid-rate", percent(ratio(now.answers, now.requests)));
  const won = ratio(minute.wins, minute.bids);
  say("win-rate", percent(won === null ? null : Math.min(won, 1)));
  for (const name of ["p50", "p95", "p99"]) say(name, millis(since(NOW_S).map((pulse) => pulse[`${name}_ms`]).filter((ms) => ms !== null).at(-1)));
  showReasons();
  if (at("minutes").open) showMinutes();
}

function showReasons() {
  const counts = new Map();
  for (const pulse of pulses) for (const [name, times] of Object.entries(pulse.no_bids)) counts.set(name, (counts.get(name) || 0) + times);
  const all = [...counts.values()].reduce((sum, times) => sum + times, 0);
  const rows = [...counts].sort((a, b) => b[1] - a[1]).map(([name, times]) => row(
    heading(name.replaceAll("_", " "), drawing("share", [["track", 0, 100], ["part", 0, 100 * times / all]])),
    cell(whole.format(times)),
    cell(percent(times / all)),
  ));
  fill("reasons", rows, 3);
}

function showMinutes() {
  const minutes = new Map();
  for (const pulse of pulses) {
    const minute = Math.floor(pulse.at_s / 60) * 60;
    minutes.set(minute, [...(minutes.get(minute) || []), pulse]);
  }
  const middle = (part, name) => {
    const values = part.map((pulse) => pulse[name]).filter((ms) => ms !== null).sort((a, b) => a - b);
    return values.length ? values[values.length >> 1] : null;
  };
  fill("minutes-rows", [...minutes].reverse().map(([minute, part]) => {
    const total = sums(part), worst = part.map((pulse) => pulse.p99_ms).filter((ms) => ms !== null);
    const won = ratio(total.wins, total.bids);
    return row(
      heading(new Date(minute * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })),
      cell(perSecond(ratio(total.requests, total.seconds))),
      cell(percent(ratio(total.answers, total.requests))),
      cell(percent(won === null ? null : Math.min(won, 1))),
      cell(millis(middle(part, "p50_ms"))),
      cell(millis(worst.length ? Math.max(...worst) : null)),
    );
  }), 6);
}

at("minutes").addEventListener("toggle", () => { if (at("minutes").open) showMinutes(); });

// -- status --------------------------------------------------------------------------------------

const formats = new Map();
function money(currency) {
  if (!formats.has(currency)) formats.set(currency, new Intl.NumberFormat(undefined, { style: "currency", currency }));
  return (text) => text === null ? "–" : formats.get(currency).format(Number(text));
}

const bytes = (count) => count < 2 ** 30 ? `${(count / 2 ** 20).toFixed(1)} MB` : `${(count / 2 ** 30).toFixed(2)} GB`;

function stateOf(campaign) {
  if (campaign.paused) return "paused";
  if (!campaign.in_flight) return "not in flight";
  return campaign.pacing === "asap" ? "as soon as possible" : campaign.pacing;
}

function paceCell(campaign, amount) {
  const pace = campaign.pace;
  if (pace === null) return cell("–", "none");
  const rects = [["track", 0, 100], ["spent", 0, 100 * within(pace.spent_share)]];
  if (pace.planned_share !== null) rects.push(["due", Math.min(100 * within(pace.planned_share), 99.2), 0.8]);
  let text = `${amount(pace.spent)} of ${amount(pace.budget)}, ${percent(pace.spent_share)}`;
  if (pace.planned !== null) text += `; plan ${percent(pace.planned_share)}`;
  if (campaign.hourly_budget !== null) text += `; this hour ${amount(campaign.spent_this_hour)} of ${amount(campaign.hourly_budget)}`;
  return element("td", "", drawing("pace", rects), element("small", "", text));
}

function moreItems(count) {
  if (count === 0) return [];
  const text = element("td", "none", `${whole.format(count)} more line items with budgets of their own are in status.json`);
  text.colSpan = 7;
  const made = row(text);
  made.className = "item";
  return [made];
}

function itemRow(item, amount) {
  const [spent, budget] = item.daily_budget === null ? [item.spent, item.budget] : [item.spent_today, item.daily_budget];
  const share = Number(spent) / Number(budget);
  const made = row(
    heading(item.id, element("small", "", "line item with a budget of its own")),
    element("td", "", drawing("pace", [["track", 0, 100], ["spent", 0, 100 * within(share)]]),
      element("small", "", `${amount(spent)} of ${amount(budget)}, ${percent(share)}`)),
    cell(amount(item.spent_today), "n wide"),
    cell(amount(item.spent), "n wide"),
    cell(amount(item.budget), "n wide"),
    cell(amount(item.leased), "n wide"),
    cell("", "n wide"),
  );
  made.className = "item";
  return made;
}

function showCampaigns(status, amount) {
  fill("campaigns", status.campaigns.flatMap((campaign) => [row(
    heading(campaign.name || campaign.id, element("small", "", `${campaign.advertiser} · ${stateOf(campaign)}`)),
    paceCell(campaign, amount),
    cell(amount(campaign.spent_today), "n wide"),
    cell(amount(campaign.spent), "n wide"),
    cell(amount(campaign.budget), "n wide"),
    cell(amount(campaign.leased), "n wide"),
    cell(campaign.multiplier === null ? "–" : campaign.multiplier.toFixed(3), "n wide"),
  ), ...campaign.line_items.map((item) => itemRow(item, amount)), ...moreItems(campaign.line_items_left_out)]), 7, "no campaign in the config");
  const left = status.campaigns_left_out;
  at("campaigns-left-out").hidden = left === 0;
  say("campaigns-left-out", `${whole.format(left)} more campaigns that spend less are in status.json.`);
}

function showAudiences(audiences, now_s) {
  if (audiences === null) {
    say("audiences-summary", "");
    fill("audiences", [], 3, "unknown");
    return;
  }
  const parts = [
    [audiences.within_a_day, "loaded within a day"], [audiences.within_a_week, "within a week"],
    [audiences.older, "longer ago"], [audiences.never, "never loaded"], [audiences.by_events, "filled by events"],
  ].filter(([count]) => count > 0).map(([count, text]) => `${whole.format(count)} ${text}`);
  const counted = audiences.counted_s === null ? "never counted" : `counted ${ago(now_s - audiences.counted_s)}`;
  say("audiences-summary", `${whole.format(audiences.in_use)} segments: ${parts.join(", ") || "none"}; people ${counted}. The stalest first.`);
  fill("audiences", audiences.stalest.map((one) => row(
    heading(one.name),
    cell(one.people === null ? "–" : whole.format(one.people)),
    cell(one.loaded_s === null ? "never" : ago(now_s - one.loaded_s), one.loaded_s === null ? "when bad" : "when"),
  )), 3);
}

function showRedis(redis) {
  if (redis === null) {
    facts("redis", [["State", "unknown", "bad"]]);
    return;
  }
  const limit = redis.memory_max_bytes ? ` of ${bytes(redis.memory_max_bytes)}` : "";
  facts("redis", [
    ["Server", `${redis.version}${redis.nodes > 1 ? `, ${redis.nodes} nodes` : ""}`],
    ["Round trip", millis(redis.round_trip_ms)],
    ["Memory", bytes(redis.memory_bytes) + limit],
    ["Commands a second", whole.format(redis.commands_per_s)],
    ["Connections", whole.format(redis.clients)],
    ["Writes on disk", redis.writes_saved ? "yes" : "no", redis.writes_saved ? "good" : "bad"],
    ["When memory is short", redis.evicts ? "throws keys away" : "refuses writes", redis.evicts ? "bad" : ""],
  ]);
}

function showState(status) {
  at("state-text").className = `pill ${status.ready && status.stopped === null ? "good" : "bad"}`;
  say("state-text", status.stopped !== null ? "all bidding is stopped" : status.ready ? "ready" : "not ready");
  const why = [];
  if (status.stopped !== null) why.push(`All bidding is stopped by ${status.stopped}.`);
  if (!status.ready) why.push(`Not ready: ${status.reason}.`);
  for (const edit of status.refused_edits) {
    why.push(`The edit of ${edit.folder} on ${edit.host} is not live: ${edit.faults[0]}.`);
  }
  at("notice").hidden = why.length === 0;
  say("notice", why.join(" "));
  const plan = status.plan_age_s === null ? "no plan yet" : `plan ${status.plan_age_s.toFixed(0)} s old`;
  say("config", status.config_version ? `config ${status.config_version} · ${plan}` : "no config");
}

function showStatus(status) {
  const amount = money(status.currency);
  showState(status);
  say("spent", amount(status.spent));
  showCampaigns(status, amount);
  showAudiences(status.audiences, status.now_s);
  showRedis(status.redis);
  fill("workers", status.workers.map((worker) => row(heading(String(worker.owner)), cell(`${Math.max(worker.silent_s, 0).toFixed(1)} s ago`))), 2);
  fill("trouble", Object.entries(status.trouble).sort((a, b) => b[1] - a[1]).map(([what, times]) => row(heading(what), cell(whole.format(times)))), 2);
  facts("since", ["requests", "bids", "wins", "impressions", "clicks", "conversions", "losses"]
    .map((name) => [name[0].toUpperCase() + name.slice(1), whole.format(status[name])]));
}

// -- the stream ----------------------------------------------------------------------------------

function listen() {
  const source = new EventSource("stream");
  source.addEventListener("pulses", (event) => { pulses = JSON.parse(event.data); showPulses(); });
  source.addEventListener("pulse", (event) => {
    pulses.push(JSON.parse(event.data));
    pulses = pulses.slice(-PULSES_MAX);
    showPulses();
  });
  source.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    at("state-text").className = "pill bad";
    say("state-text", "the admin port does not answer; trying again");
    // A browser gives up for good when the answer is no stream, as when too many listen.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RECONNECT_MS);
  });
}

listen();
