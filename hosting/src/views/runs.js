// The runs: starting one, dry run first; the one under way as it goes; each in detail.
import { html, nothing } from "lit-html";
import { ask } from "../functions.js";
import { health, look, pairNames } from "../health.js";
import { count, listen, newest } from "../live.js";
import { plan, brakes } from "../plan.js";
import { may } from "../session.js";
import { total } from "../days.js";
import { arrow, duration, label, notice, number, plural, state, time, ago } from "../words.js";
import { documentId, where } from "firebase/firestore";

const PAGE = 25;
export const isRunning = (run) => run.status === "running" || run.status === "handed_out";

export function outcome(run) {
  if (isRunning(run)) return label("busy", "running");
  if (run.status === "done") return label("good", "went through");
  return label("bad", run.status === "failed" ? "failed" : `ended: ${run.status}`);
}

export function runs({ session, update, parts: [id] }) {
  return id ? detail(session, update, id) : list(session, update);
}

function list(session, update) {
  let most = PAGE;
  let all = null;
  const begin = () => listen(session.db, "sync_runs", [newest("started_at")], most, update);
  let found = begin();
  const leases = listen(session.db, "sync_leases", [], 100, update);
  const starting = starter(session, update);
  look(session, update);
  count(session.db, "sync_runs", []).then((number) => {
    all = number;
    update();
  });
  const more = () => {
    most += PAGE;
    found.stop();
    found = Object.assign(begin(), { rows: found.rows, state: found.state });
    update();
  };
  return {
    draw: () => html`${may(session, "operator") ? starting.draw() : html`<p class="quiet">Starting a run needs the role operator.</p>`}
      ${found.rows.filter(isRunning).map((run) => underWay(run, leases.rows))}
      <section><h2>Latest</h2>${state(found, "No run yet. Start one above.")}${found.rows.length ? table(found.rows) : nothing}
      <p class="quiet">${found.rows.length ? `${number(found.rows.length)} of ${number(all)} shown` : ""} ${found.more ? html`<button @click=${more}>Show ${PAGE} more</button>` : nothing}</p></section>`,
    stop: () => {
      found.stop();
      leases.stop();
    },
  };
}

const table = (rows) => html`<div class="wide-table" tabindex="0" role="region" aria-label="Runs"><table><thead><tr><th scope="col">Began</th><th scope="col">Pair</th><th scope="col">Outcome</th><th scope="col">Took</th><th scope="col">Changes</th><th scope="col">Conflicts</th><th scope="col">Dead letters</th><th scope="col">By</th></tr></thead>
  <tbody>${rows.map((run) => html`<tr><td><a href="#runs/${encodeURIComponent(run.id)}">${time(run.started_at)}</a></td><td>${run.pair}</td><td>${outcome(run)}${run.result?.brakes?.length ? label("warn", "deletes held") : nothing}</td><td>${duration(run.started_at, run.completed_at)}</td><td>${number(run.result ? total(run.result.directions, "read") + total(run.result.reconciled, "repaired") : null)}</td><td>${number(run.result?.conflicts)}</td><td>${number(run.result?.dead_letters)}</td><td>${run.by || "–"}</td></tr>`)}</tbody></table></div>`;

function underWay(run, leases) {
  const lease = leases.find((each) => each.id === run.pair && each.run_id === run.run_id);
  const parts = Object.entries(run).filter(([name]) => name.startsWith("part_"));
  const done = parts.filter(([, part]) => part.done).length;
  const all = run.handed_out ? run.handed_out.shards * run.handed_out.entities.length : 0;
  const read = parts.reduce((sum, [, part]) => sum + total(part.directions, "read"), lease?.done?.changes ?? 0);
  return html`<section class="card busy" aria-live="polite"><h2>${label("busy", `${run.pair} is running`)}</h2>
    <p>Began ${ago(run.started_at)}. ${lease?.done || parts.length ? `${plural(read, "change")} read so far${lease?.done?.compared ? `, ${plural(lease.done.compared, "record")} compared` : ""}.` : "Its figures come every half minute, and all of them at its end."}</p>
    ${all ? html`<label>Shards: ${done} of ${all} done <progress max=${all} value=${done}></progress></label>` : html`<progress aria-label="under way"></progress>`}
    <p><a href="#runs/${encodeURIComponent(run.id)}">See this run</a></p></section>`;
}

/** The form that starts a run: a dry run first, then the very run that it told of. */
function starter(session, update) {
  const it = { pair: null, busy: "", said: null, shown: null };
  const pair = () => it.pair || pairNames()[0];
  const call = async (busy, body) => {
    Object.assign(it, { busy, said: null });
    update();
    const answer = await ask(session, "bidirectional_sync", { pair: pair(), ...body });
    it.busy = "";
    const report = answer.result.pairs?.[pair()];
    if (answer.status === 409) it.said = { kind: "warn", text: "A run of this pair is under way: wait for it, it shows below." };
    else if (!answer.ok) it.said = { kind: answer.status === 504 ? "warn" : "bad", text: answer.message };
    return answer.ok ? report : null;
  };
  const dry = async () => {
    const report = await call("Looking at what would be done …", { dry_run: true });
    if (report) it.shown = report;
    update();
  };
  const go = async (body = {}) => {
    const report = await call("Running …", body);
    if (report) Object.assign(it, { shown: null, said: { kind: "good", text: told(report) } });
    look(session, update, true);
    update();
  };
  return {
    draw: () => html`<section class="card"><h2>Start a run</h2>
      <p class="quiet">First see what it would do; nothing is written by that.</p>
      ${pairNames().length > 1 ? html`<label>Pair <select @change=${(event) => (it.pair = event.target.value)}>${pairNames().map((each) => html`<option>${each}</option>`)}</select></label>` : nothing}
      <div class="actions"><button class=${it.shown ? "" : "main"} ?disabled=${!!it.busy || !health.pairs} @click=${dry}>Dry run</button>
      ${it.shown ? html`<button class="main" ?disabled=${!!it.busy} @click=${() => go()}>Run it now</button>` : nothing}</div>
      ${it.busy ? html`<p role="status">${it.busy} <progress aria-label=${it.busy}></progress></p>` : nothing}
      ${!health.pairs && health.message ? notice({ kind: "bad", text: health.message }) : nothing}
      ${notice(it.said)}
      ${it.shown ? html`${brakes(it.shown.brakes, may(session, "admin"), (allowed) => go({ allow_mass_delete: allowed }))}${plan(it.shown)}` : nothing}
    </section>`,
  };
}

function told(report) {
  const moved = total(report.directions, "read");
  if (report.handed_out) return "The backlog is large, so it was handed out in shards; follow it below.";
  return moved ? `Done: ${plural(moved, "change")} carried${report.conflicts ? `, ${plural(report.conflicts, "conflict")}` : ""}${report.brakes.length ? "; deletes are held, see the dry run" : ""}.` : "Done: there was nothing to carry.";
}

function detail(session, update, id) {
  const found = listen(session.db, "sync_runs", [where(documentId(), "==", id)], 1, update);
  const leases = listen(session.db, "sync_leases", [], 100, update);
  return {
    draw: () => html`<p><a href="#runs">← All runs</a></p>${state(found, "There is no such run; runs are kept for 400 days.")}${found.rows.map((run) => one(run, leases.rows))}`,
    stop: () => {
      found.stop();
      leases.stop();
    },
  };
}

function one(run, leases) {
  const result = run.result;
  return html`<section class="card"><h2>${run.pair}, ${time(run.started_at)}</h2><p>${outcome(run)} ${run.failure ? html`<span class="notice bad">${run.failure.message}</span>` : nothing}</p>
    <dl class="facts"><div><dt>Took</dt><dd>${duration(run.started_at, run.completed_at)}</dd></div><div><dt>Asked for by</dt><dd>${run.by || "–"}</dd></div><div><dt>Run id</dt><dd><code>${run.run_id}</code></dd></div>
      ${result ? html`<div><dt>Conflicts</dt><dd>${number(result.conflicts)}</dd></div><div><dt>Billed</dt><dd>${plural(result.billed.reads, "read")}, ${plural(result.billed.writes, "write")}, ${plural(result.billed.deletes, "delete")}</dd></div><div><dt>Cost</dt><dd>${result.cost.amount} ${result.cost.currency}</dd></div>` : nothing}
      ${result?.left_over ? html`<div><dt>Something is left</dt><dd>ended by its ${result.stopped_by}; the next run goes on</dd></div>` : nothing}</dl></section>
    ${isRunning(run) ? underWay(run, leases) : nothing}
    ${result ? html`${tallies("By direction", "Direction", result.directions, arrow)}${tallies("Compared, by entity", "Entity", result.reconciled, (name) => name)}${brakes(result.brakes, false, null)}` : nothing}`;
}

export function tallies(caption, of, rows, named) {
  if (!rows || !Object.keys(rows).length) return nothing;
  const columns = Object.entries(Object.values(rows)[0]).filter(([, each]) => typeof each === "number").map(([name]) => name);
  return html`<div class="wide-table" tabindex="0" role="region" aria-label=${caption}><table><caption>${caption}</caption><thead><tr><th scope="col">${of}</th>${columns.map((name) => html`<th scope="col">${name.replaceAll("_", " ")}</th>`)}</tr></thead>
    <tbody>${Object.entries(rows).map(([name, each]) => html`<tr><th scope="row">${named(name)}</th>${columns.map((column) => html`<td>${number(each[column])}</td>`)}</tr>`)}</tbody></table></div>`;
}
