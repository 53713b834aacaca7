// All pairs at a glance: is all well, what needs somebody, and how it went over time.
import { html, nothing } from "lit-html";
import { chart } from "../charts.js";
import { daysOf } from "../days.js";
import { health, look, nextRun, pairNames } from "../health.js";
import { equal, idFrom, listen, newest } from "../live.js";
import { ago, label, notice, number, plural, time, title } from "../words.js";
import { isRunning, outcome } from "./runs.js";

const DAYS = 60;
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
  const since = new Date(Date.now() - DAYS * 86_400_000).toISOString().slice(0, 10);
  const today = new Date().toISOString().slice(0, 10);
  const leases = listen(session.db, "sync_leases", [], 100, update);
  const latest = listen(session.db, "sync_runs", [newest("started_at")], TODAY, update);
  const kept = {};
  look(session, update, true);
  const again = setInterval(() => document.hidden || look(session, update, true), 60_000);

  const figures = (pair) => {
    kept[pair] ??= listen(session.db, "sync_statistics", [equal("pair", pair), idFrom(`${pair}:${since}`)], DAYS, update);
    return daysOf(kept[pair].rows, latest.rows.filter((each) => each.pair === pair && each.day === today), today);
  };

  return {
    draw: () => html`${verdict(session, update)}
      ${pairNames().map((name) => pair(name, health.pairs[name], leases, latest, figures(name), kept[name]))}`,
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

function pair(name, each, leases, latest, days, kept) {
  const loaded = [leases, latest, kept].every((found) => found.state !== "loading");
  const lease = leases.rows.find((one) => one.id === name);
  const running = latest.rows.find((run) => run.pair === name && isRunning(run));
  const next = nextRun(each.schedule);
  const last = lease?.last;
  return html`<section class="card"><h2>${name}</h2>
    <dl class="facts">
      <div><dt>State</dt><dd>${running ? label("busy", "running now") : last ? outcome({ status: last.success ? "done" : "failed" }) : label("calm", loaded ? "never ran" : "looking …")}</dd></div>
      <div><dt>Last success</dt><dd>${last?.succeeded_at ? html`${ago(last.succeeded_at)}<br><span class="quiet">${time(last.succeeded_at)}</span>` : loaded ? "never" : "–"}</dd></div>
      <div><dt>Next run</dt><dd>${next ? html`${ago(next)}<br><span class="quiet">${time(next)}</span>` : html`<code>${each.schedule.cron}</code><br><span class="quiet">${each.schedule.time_zone}</span>`}</dd></div>
      ${Object.entries(each.peers).map(([side, status]) => html`<div><dt>Waits in ${title(side)}</dt><dd>${plural(status.pending, "change")}<br><span class="quiet">${status.oldest_pending_at ? `the oldest ${ago(status.oldest_pending_at)}` : "nothing is old"}</span></dd></div>`)}
      <div><dt>Open conflicts</dt><dd>${number(each.open_conflicts)}</dd></div>
      <div><dt>Dead letters</dt><dd>${number(each.dead_letters)}</dd></div>
    </dl>
    ${tenants(each)}
    <h3>The last ${DAYS} days</h3>
    ${loaded && days.length ? html`<div class="charts">
      ${chart("Changes carried, by day", days, [["changes", (day) => day.changes]])}
      ${chart("Seconds a run took", days, [["median", (day) => day.p50], ["95 %", (day) => day.p95]])}
      ${chart("Conflicts and dead letters", days, [["conflicts", (day) => day.conflicts], ["dead letters", (day) => day.dead_letters]])}
      ${chart("Cost", days, [[days.at(-1).currency, (day) => day.cost]])}</div>` : !loaded ? html`<p class="quiet" role="status">Loading …</p>` : html`<p class="quiet">No run yet, so there is nothing to draw. <a href="#runs">Start one</a>.</p>`}
  </section>`;
}

function tenants({ tenants: found, peers }) {
  const columns = { ...Object.fromEntries(Object.keys(peers).map((side) => [`pending_in_${side}`, `Waits in ${title(side)}`])), open_conflicts: "Open conflicts", dead_letters: "Dead letters" };
  const busy = Object.entries(found).filter(([, each]) => Object.keys(columns).some((name) => each[name]));
  if (!busy.length) return nothing;
  return html`<div class="wide-table" tabindex="0" role="region" aria-label="Tenants"><table><caption>Tenants for whom something waits</caption>
    <thead><tr><th scope="col">Tenant</th>${Object.values(columns).map((words) => html`<th scope="col">${words}</th>`)}</tr></thead>
    <tbody>${busy.map(([name, each]) => html`<tr><th scope="row">${name}</th>${Object.keys(columns).map((column) => html`<td>${number(each[column])}</td>`)}</tr>`)}</tbody></table></div>`;
}
