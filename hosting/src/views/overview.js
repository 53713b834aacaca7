// All pairs at a glance: is all well, what needs somebody, and how it went over time.
import { html, nothing } from "lit-html";
import { chart } from "../charts.js";
import { daysOf } from "../days.js";
import { health, look, pairNames, sidesOf } from "../health.js";
import { equal, idFrom, listen, newest } from "../live.js";
import { ago, arrow, label, notice, number, plural, time, title } from "../words.js";
import { isRunning, outcome } from "./runs.js";

/** What the charts may show: how many days, and whether month by month. */
const SPANS = { days: [60, "60 days", false], year: [366, "year, by month", true] };
const TODAY = 100;
/** Where somebody mends what a problem's code names. */
const CURES = {
  conflicts: ["#conflicts", "Decide them"],
  "dead-letters": ["#letters", "See why, and replay"],
  brake: ["#runs", "Look at the plan"],
  failed: ["#runs", "See the run"],
  overdue: ["#runs", "Start a run"],
  queue: ["#queue", "See what waits"],
};

export function overview({ session, update }) {
  let span = "days";
  const today = new Date().toISOString().slice(0, 10);
  const leases = listen(session.db, "sync_leases", [], 100, update);
  const latest = listen(session.db, "sync_runs", [newest("started_at")], TODAY, update);
  let kept = {};
  look(session, update, true);
  const again = setInterval(() => document.hidden || look(session, update, true), 60_000);

  const figures = (pair) => {
    const [days, , byMonth] = SPANS[span];
    const since = new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
    kept[pair] ??= listen(session.db, "sync_statistics", [equal("pair", pair), idFrom(`${pair}:${since}`)], days, update);
    return daysOf(kept[pair].rows, latest.rows.filter((each) => each.pair === pair && each.day === today), today, byMonth);
  };
  const choose = (event) => {
    span = event.target.value;
    for (const each of Object.values(kept)) each.stop();
    kept = {};
    update();
  };

  return {
    draw: () => html`${verdict(session, update)}
      ${pairNames().map((name) => pair(name, health.pairs[name], leases, latest))}
      ${health.pairs ? html`<section><h2>Over time</h2><label>Show the last <select @change=${choose}>${Object.entries(SPANS).map(([each, [, words]]) => html`<option value=${each}>${words}</option>`)}</select></label>
        ${pairNames().map((name) => charts(name, figures(name), [latest, kept[name]]))}</section>` : nothing}`,
    stop: () => {
      clearInterval(again);
      for (const each of [leases, latest, ...Object.values(kept)]) each.stop();
    },
  };
}

function verdict(session, update) {
  if (!health.pairs) return health.message ? notice({ kind: "bad", text: health.message }) : html`<p class="quiet" role="status">Asking how all is …</p>`;
  const troubles = health.problems;
  return html`<section class="verdict ${troubles.length ? "bad" : "good"}" aria-live="polite">
    <p class="big">${troubles.length ? `${plural(troubles.length, "thing needs", "things need")} you` : "All is well"}</p>
    <p class="quiet">Asked ${time(health.at)} <button class="plain" ?disabled=${health.asking} @click=${() => look(session, update, true)}>Ask again</button></p>
    ${health.message ? notice({ kind: "bad", text: health.message }) : nothing}
    <ul class="troubles">${troubles.map(trouble)}</ul>
  </section>`;
}

function trouble(each) {
  const [address, words] = CURES[each.code] || [];
  return html`<li><b>${each.pair}: ${each.message}</b>${address ? html` <a class="button" href=${address}>${words}</a>` : html`<br><span class="quiet">${each.cure}</span>`}</li>`;
}

function pair(name, each, leases, latest) {
  const loaded = leases.state === "ready" && latest.state === "ready";
  const lease = leases.rows.find((one) => one.id === name);
  const running = latest.rows.find((run) => run.pair === name && isRunning(run));
  const last = lease?.last;
  return html`<section class="card"><h2>${name}</h2>
    <dl class="facts">
      <div><dt>State</dt><dd>${running ? label("busy", "running now") : last ? outcome({ status: last.success ? "done" : "failed" }) : label("calm", loaded ? "never ran" : "looking …")}</dd></div>
      <div><dt>Last success</dt><dd>${last?.succeeded_at ? html`${ago(last.succeeded_at)}<br><span class="quiet">${time(last.succeeded_at)}</span>` : loaded ? "never" : "–"}</dd></div>
      <div><dt>Next run</dt><dd>${ago(each.next_run_at)}<br><span class="quiet">${time(each.next_run_at)}</span></dd></div>
      ${Object.entries(each.peers).map(([side, status]) => html`<div><dt>Waits in ${title(side)}</dt><dd>${plural(status.pending, "change")}<br><span class="quiet">${status.oldest_pending_at ? `the oldest ${ago(status.oldest_pending_at)}` : "nothing is old"}</span></dd></div>`)}
      <div><dt>Open conflicts</dt><dd>${number(each.open_conflicts)}</dd></div>
      <div><dt>Dead letters</dt><dd>${number(each.dead_letters)}</dd></div>
    </dl>
    ${Object.keys(each.tenants).length ? tenants(each.tenants, Object.keys(each.peers)) : nothing}</section>`;
}

function charts(name, days, sources) {
  const loading = sources.some((each) => each.state === "loading");
  if (loading || !days.length) return !loading ? html`<p class="quiet">${name}: no run yet, so there is nothing to draw. <a href="#runs">Start one</a>.</p>` : html`<p class="quiet" role="status">Loading …</p>`;
  const ways = [...new Set(days.flatMap((day) => Object.keys(day.carried).filter((way) => day.carried[way])))].sort();
  return html`<h3>${name}</h3><div class="charts">
      ${chart(`Changes carried, ${name}`, days, (ways.length ? ways : [sidesOf(name).join("_to_")]).map((way) => [arrow(way), (day) => day.carried[way] || 0]))}
      ${chart(`Seconds a run took, ${name}`, days, [["median", (day) => day.p50], ["95 %", (day) => day.p95]])}
      ${chart(`Conflicts and dead letters, ${name}`, days, [["conflicts", (day) => day.conflicts], ["dead letters", (day) => day.dead_letters]])}
      ${chart(`Cost, ${name}`, days, [[days.at(-1).currency, (day) => day.cost]])}</div>`;
}

/** What is wrong with a tenant, by code: a brake, a breaker and a quota are the whole pair's. */
const TROUBLES = { overdue: "no run for too long", queue: "waits for too long", "dead-letters": "dead letters", conflicts: "conflicts" };

const tenants = (found, sides) => html`<div class="wide-table" tabindex="0" role="region" aria-label="Tenants"><table><caption>By tenant</caption>
  <thead><tr><th scope="col">Tenant</th><th scope="col">State</th><th scope="col">Last success</th>${sides.map((side) => html`<th scope="col">Waits in ${title(side)}</th>`)}<th scope="col">The oldest</th><th scope="col">Open conflicts</th><th scope="col">Dead letters</th></tr></thead>
  <tbody>${Object.entries(found).map(([name, each]) => html`<tr><th scope="row">${name}</th><td>${each.problems.length ? label("warn", each.problems.map((code) => TROUBLES[code] || code).join(", ")) : label("good", "in order")}</td><td>${each.last_success_at ? ago(each.last_success_at) : "never"}</td>${sides.map((side) => html`<td>${number(each[`pending_in_${side}`])}</td>`)}<td>${each.oldest_pending_at ? ago(each.oldest_pending_at) : "–"}</td><td>${number(each.open_conflicts)}</td><td>${number(each.dead_letters)}</td></tr>`)}</tbody></table></div>`;
