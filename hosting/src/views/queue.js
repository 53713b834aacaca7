// What waits to be carried: Firestore's queue as it changes, the other side's by a look at it.
import { html, nothing } from "lit-html";
import { ask } from "../functions.js";
import { entities, health, look, pairNames, sidesOf } from "../health.js";
import { count, equal, listen } from "../live.js";
import { plan } from "../plan.js";
import { ago, dateOf, keyLink, label, notice, number, plural, state, time, title, value } from "../words.js";

const PAGE = 50;
const STATES = { pending: "waiting", failed: "refused", superseded: "overtaken", synced: "carried over" };
const SIGNS = { pending: "busy", failed: "bad", superseded: "calm", synced: "good" };

export function queue({ session, update }) {
  const it = { status: "pending", entity: "", key: "", most: PAGE, found: null, all: null, other: {}, busy: "" };
  const asked = () => [equal("sync_status", it.status), ...(it.entity ? [equal("entity", it.entity)] : [])];
  const begin = (again = true) => {
    const kept = it.found;
    kept?.stop();
    it.found = listen(session.db, "sync_queue", it.key ? [equal("key", it.key)] : asked(), it.most, update);
    if (!again && kept) Object.assign(it.found, { rows: kept.rows, state: kept.state });
    if (again) count(session.db, "sync_queue", it.key ? [equal("key", it.key)] : asked()).then((number) => { it.all = number; update(); });
    update();
  };
  const search = (event) => {
    event.preventDefault();
    Object.assign(it, Object.fromEntries(new FormData(event.target)), { most: PAGE, all: null });
    it.key = it.key.trim();
    begin();
  };
  const peek = async (pair, side) => {
    it.busy = side;
    update();
    const direction = `${side}_to_${sidesOf(pair).find((each) => each !== side)}`;
    const body = { pair, dry_run: true, direction, max_changes: PAGE, ...(it.entity ? { entities: [it.entity] } : {}) };
    const answer = await ask(session, "bidirectional_sync", body);
    it.busy = "";
    it.other[side] = answer.ok ? { report: answer.result.pairs[pair] } : { said: { kind: "bad", text: answer.message } };
    update();
  };
  look(session, update, true);
  begin();
  return {
    draw: () => html`${health.pairs ? pairNames().map((name) => sides(name, it, peek)) : asking()}
      <section><h2>Firestore</h2><form class="filters" role="search" @submit=${search}>
        <label>State <select name="status">${Object.entries(STATES).map(([status, words]) => html`<option value=${status} ?selected=${status === it.status}>${words}</option>`)}</select></label>
        <label>Entity <select name="entity"><option value="">all</option>${entities().map(({ name }) => html`<option ?selected=${name === it.entity}>${name}</option>`)}</select></label>
        <label>Key <input name="key" .value=${it.key} placeholder="exactly"></label><button class="main">Show</button></form>
      ${it.key ? html`<p class="quiet">All entries of this key in Firestore, whatever their state.${it.entity ? html` What waits elsewhere too: ${keyLink({ entity: it.entity, key: it.key })}, its story.` : " Choose its entity too, and its story tells what waits elsewhere."}</p>` : nothing}
      ${state(it.found, it.status === "pending" && !it.key ? "Nothing waits in Firestore." : "There is no such entry.")}
      ${it.found.rows.length ? table([...it.found.rows].sort(byAge)) : nothing}
      <p class="quiet">${it.found.rows.length ? `${number(it.found.rows.length)} of ${number(it.all)} shown, the oldest of these first` : ""} ${it.found.more ? html`<button @click=${() => { it.most += PAGE; begin(false); }}>Show ${PAGE} more</button>` : nothing}</p></section>`,
    stop: () => it.found.stop(),
  };
}

const byAge = (a, b) => (dateOf(a.created_at) ?? 0) - (dateOf(b.created_at) ?? 0);

const asking = () => (health.message ? notice({ kind: "bad", text: health.message }) : html`<section class="card"><p class="quiet" role="status">Asking how much waits …</p></section>`);

const sides = (pair, it, peek) => html`<section class="card"><h2>${pair}</h2><dl class="facts">${Object.entries(health.pairs[pair].peers).map(([side, each]) => html`<div><dt>${title(side)}</dt><dd>${plural(each.pending, "change")} ${each.pending === 1 ? "waits" : "wait"}${each.oldest_pending_at ? html`<br><span class="quiet">the oldest ${ago(each.oldest_pending_at)}</span>` : nothing}</dd></div>`)}</dl>
    <div class="actions">${sidesOf(pair).filter((side) => side !== "firestore").map((side) => html`<button ?disabled=${!!it.busy} @click=${() => peek(pair, side)}>${it.busy === side ? "Looking …" : `See what waits in ${title(side)}`}</button>`)}</div>
    ${Object.entries(it.other).map(([side, each]) => html`<h3>Waits in ${title(side)}</h3>${notice(each.said)}${each.report ? plan(each.report) : nothing}`)}</section>`;

const table = (rows) => html`<div class="wide-table" tabindex="0" role="region" aria-label="Queue entries"><table><thead><tr><th scope="col">Record</th><th scope="col">What</th><th scope="col">Values</th><th scope="col">State</th><th scope="col">Since</th></tr></thead>
  <tbody>${rows.map((row) => html`<tr><td>${row.entity} ${row.key ? keyLink(row) : nothing}</td><td>${row.action}</td><td>${Object.entries(row.fields || {}).map(([name, each]) => html`<div><b>${name}</b> ${value(each)}</div>`)}</td><td>${label(SIGNS[row.sync_status] || "calm", STATES[row.sync_status] || row.sync_status)}${row.error ? html`<br><span class="quiet">${row.error}</span>` : nothing}</td><td>${ago(row.created_at)}<br><span class="quiet">${time(row.created_at)}</span></td></tr>`)}</tbody></table></div>`;
