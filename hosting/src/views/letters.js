// Dead letters: changes that the other side refuses, by reason; replaying one, or all of a reason.
import { html, nothing } from "lit-html";
import { ask } from "../functions.js";
import { among, count, listen, equal } from "../live.js";
import { ago, keyLink, label, notice, number, plural, state, stampPlace, stampTime, title, value } from "../words.js";

const PAGE = 25;

export function letters({ session, update }) {
  const it = { most: PAGE, all: null, busy: "", said: null, found: null };
  const asked = [among("status", ["open", "waiting"])];
  const begin = () => {
    const kept = it.found;
    kept?.stop();
    it.found = listen(session.db, "sync_dead_letters", asked, it.most, update);
    if (kept) Object.assign(it.found, { rows: kept.rows, state: kept.state });
  };
  const recount = () => count(session.db, "sync_dead_letters", [equal("status", "open")]).then((number) => { it.all = number; update(); });
  begin();
  recount();

  const replay = async (what, body) => {
    Object.assign(it, { busy: what, said: null });
    update();
    const answer = await ask(session, "replay_dead_letters", body);
    it.busy = "";
    it.said = answer.ok ? ended(answer.result) : { kind: "bad", text: answer.message };
    recount();
    update();
  };
  return {
    draw: () => html`<p>A change lies here when the other side refuses it. Mend the value, or what it breaks, and replay it; what was written since is never overwritten.</p>
      ${it.busy ? html`<p role="status">Replaying ${it.busy} … <progress aria-label="Replaying"></progress></p>` : nothing}${notice(it.said)}
      ${state(it.found, "No change was refused.")}
      ${byReason(it.found.rows).map(([reason, rows]) => html`<section class="card"><h2>${reason.replaceAll("-", " ").replaceAll("_", " ")} <span class="quiet">${plural(rows.length, "letter")} shown</span></h2>
        <div class="actions"><button ?disabled=${!!it.busy} @click=${() => replay(`all with the reason “${reason}”`, { pair: rows[0].pair, reason })}>Replay all of this reason</button></div>
        ${rows.map((row) => one(row, it, replay))}</section>`)}
      <p class="quiet">${it.all === null ? "" : `${number(it.all)} ${it.all === 1 ? "waits" : "wait"} for somebody.`} ${it.found.more ? html`<button @click=${() => { it.most += PAGE; begin(); update(); }}>Show ${PAGE} more</button>` : nothing}</p>`,
    stop: () => it.found.stop(),
  };
}

function byReason(rows) {
  const reasons = new Map();
  for (const row of rows) reasons.set(row.reason, [...(reasons.get(row.reason) || []), row]);
  return [...reasons].sort(([a], [b]) => a.localeCompare(b));
}

function ended({ counts, left_over: more }) {
  const parts = Object.entries(counts).map(([outcome, number]) => `${number} ${outcome.replaceAll("_", " ")}`);
  const bad = !parts.length || Object.keys(counts).some((each) => /refused|invalid|open|dead/.test(each));
  return { kind: bad ? "warn" : "good", text: `${parts.join(", ") || "There was nothing to replay"}.${more ? " There are more of them: replay again." : ""}` };
}

function one(row, it, replay) {
  const change = row.change || {};
  return html`<article class="letter"><h3>${row.entity ? html`${row.entity} ${row.key ? keyLink(row) : nothing}` : "a change that cannot be read"} ${row.status === "waiting" ? label("busy", "runs try it again") : label("bad", "refused")}</h3>
    <p>${row.message}</p>
    ${Object.keys(row.fields || {}).length ? html`<ul>${Object.entries(row.fields).map(([field, rule]) => html`<li><b>${field}</b>: ${rule}</li>`)}</ul>` : nothing}
    <dl class="change">${change.deleted ? html`<div><dt>record</dt><dd>deleted</dd></div>` : nothing}${Object.entries(change.fields || {}).map(([name, field]) => html`<div><dt>${name}</dt><dd>${value(field)} <span class="quiet">${whence(change.stamps?.[name] || change.stamp)}</span></dd></div>`)}</dl>
    <p class="quiet">from ${title(row.from)}; ${plural(row.attempts, "attempt")}, first ${ago(row.first_at)}, last ${ago(row.last_at)}</p>
    <button ?disabled=${!!it.busy || row.status === "waiting"} @click=${() => replay("one letter", { id: row.id })}>Replay</button></article>`;
}

const whence = (stamp) => (typeof stamp === "string" ? html`${title(stampPlace(stamp))}, ${stampTime(stamp)}` : nothing);
