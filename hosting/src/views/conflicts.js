// Conflicts: both values side by side, and what somebody decides about them.
import { html, nothing } from "lit-html";
import { ask } from "../functions.js";
import { count, equal, listen } from "../live.js";
import { ago, keyLink, label, notice, number, plain, stampPlace, stampTime, state, time, title, value } from "../words.js";

const PAGE = 20;
const STATES = { open: "waiting for a decision", settled: "settled by a rule", resolved: "decided by somebody", superseded: "overtaken by a newer edit" };
const SIGNS = { open: "warn", settled: "calm", resolved: "good", superseded: "calm" };
const OTHER = { local: "incoming", incoming: "local" };
/** What is typed, by conflict: it outlives a lost connection, another page and a refused decision. */
const drafts = new Map();

export function conflicts({ session, update, parts: [named] }) {
  const it = { status: named in STATES ? named : "open", most: PAGE, all: null, found: null };
  const begin = () => {
    it.found?.stop();
    const kept = it.found;
    const parts = [equal("status", it.status)];
    it.found = listen(session.db, "sync_conflicts", parts, it.most, update);
    if (kept && kept.status === it.status) Object.assign(it.found, { rows: kept.rows, state: kept.state });
    it.found.status = it.status;
    update();
  };
  count(session.db, "sync_conflicts", [equal("status", it.status)]).then((number) => {
    it.all = number;
    update();
  });
  begin();
  return {
    draw: () => html`<nav aria-label="Which conflicts"><ul class="tabs">${Object.entries(STATES).map(([name, words]) => html`<li><a href="#conflicts/${name}" aria-current=${name === it.status ? "true" : "false"}>${words}</a></li>`)}</ul></nav>
      ${justDecided(it.found.rows, session, update)}
      ${state(it.found, it.status === "open" ? "Nobody has to decide anything." : "There is none.")}
      ${it.found.rows.map((row) => card(row, session, update))}
      <p class="quiet">${it.found.rows.length ? `${number(it.found.rows.length)} of ${number(Math.max(it.all ?? 0, it.found.rows.length))} shown` : ""}
      ${it.found.more ? html`<button @click=${() => { it.most += PAGE; begin(); }}>Show ${PAGE} more</button>` : nothing}</p>`,
    stop: () => it.found.stop(),
  };
}

function draftOf(row) {
  return drafts.get(row.id) || drafts.set(row.id, { note: "", text: null, open: false, busy: false, said: null, done: null, row }).get(row.id);
}

/** What was decided here, or by somebody else meanwhile, leaves the list at once; what came of it stays in sight, with its undo. */
function justDecided(rows, session, update) {
  const gone = [...drafts.values()].filter((draft) => (draft.done || draft.said) && !rows.some((row) => row.id === draft.row.id));
  return gone.length ? html`<section aria-label="Just decided">${gone.map((draft) => html`<div class="notice ${draft.done ? "good" : "warn"}" role="status"><b>${draft.row.entity} ${keyLink(draft.row)}, ${draft.row.field}:</b> ${draft.done?.words}
    ${draft.done?.undo ? html`<button ?disabled=${draft.busy} @click=${() => decide(draft.row, session, update, draft.done.undo)}>${draft.done.undo.words || "Undo"}</button>` : nothing} ${draft.said ? notice(draft.said) : nothing}</div>`)}</section>` : nothing;
}

function card(row, session, update) {
  const draft = draftOf(row);
  draft.row = row;
  return html`<article class="card conflict" aria-label="Conflict in ${row.field}"><h2>${row.entity} ${keyLink(row)} · ${row.field}</h2>
    <p>${label(SIGNS[row.status], STATES[row.status])} <span class="quiet">rule: ${String(row.rule).replaceAll("_", " ")}; found ${ago(row.created_at)}${row.run_id ? html`, <a href="#runs/${encodeURIComponent(`${row.pair}:${row.run_id}`)}">its run</a>` : nothing}</span></p>
    <div class="sides">${["local", "incoming"].map((side) => half(row, side, draft, session, update))}</div>
    ${row.status === "resolved" ? html`<p>${row.resolved_by} kept ${row.chosen === "value" ? "another value" : `the ${title(stampPlace(stampOf(row[row.chosen])))} value`}, ${time(row.resolved_at)}${row.note ? html`: “${row.note}”` : nothing}.</p>` : nothing}
    ${row.status === "superseded" ? nothing : html`<label>Note <input .value=${draft.note} @input=${(event) => (draft.note = event.target.value)} maxlength="2000" placeholder="why; kept with the decision"></label>
    ${draft.open ? another(row, draft, session, update) : html`<div class="actions"><button ?disabled=${draft.busy} @click=${() => { draft.open = true; draft.text ??= textOf(row); update(); }}>Write another value</button></div>`}`}
    ${notice(draft.said)}</article>`;
}

const stampOf = (side) => side?.stamp || side?.deleted || "";

function half(row, side, draft, session, update) {
  const shown = row[side];
  const won = row.winner === side;
  const body = { keep: side, again: row.status !== "open" };
  const holds = row.status === "resolved" ? row.chosen === side : won && row.status === "settled";
  return html`<section class="side ${won ? "won" : ""}"><h3>${title(stampPlace(stampOf(shown)))} ${won ? label("good", "won") : nothing}</h3>
    <p class="shown">${shown.left_out ? html`<span class="none">too large to be kept here</span>` : "value" in shown ? value(shown.value) : html`<span class="none">the record deleted</span>`}</p>
    <p class="quiet">written ${stampTime(stampOf(shown))}</p>
    ${row.status === "superseded" || holds ? nothing : html`<button class=${row.status === "open" ? "main" : ""} ?disabled=${draft.busy} @click=${() => decide(row, session, update, body)}>${row.status === "open" ? "Keep this" : "Keep this after all"}</button>`}</section>`;
}

function another(row, draft, session, update) {
  const send = (event) => {
    event.preventDefault();
    const read = readText(row, draft.text);
    if (read.error) {
      draft.said = { kind: "bad", text: read.error };
      update();
    } else decide(row, session, update, { keep: "value", value: read.value, again: row.status !== "open" });
  };
  return html`<form @submit=${send}><label>${isText(row) ? "Another value" : "Another value, as JSON"} <textarea rows="2" .value=${draft.text} @input=${(event) => (draft.text = event.target.value)}></textarea></label>
    <div class="actions"><button class="main" ?disabled=${draft.busy}>Write this on both sides</button><button type="button" class="plain" @click=${() => { draft.open = false; update(); }}>Cancel</button></div></form>`;
}

const values = (row) => [row.local, row.incoming].filter((side) => "value" in side && side.value !== null).map((side) => side.value);
const isText = (row) => values(row).every((each) => typeof each === "string");

function textOf(row) {
  const [first] = values(row);
  return isText(row) ? (first ?? "") : JSON.stringify(plain(first));
}

function readText(row, text) {
  if (isText(row)) return { value: text };
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { error: "This is no JSON: a list is [\"a\", \"b\"], a number 12, yes and no are true and false. Nothing was written." };
  }
}

async function decide(row, session, update, { keep, value: chosen, again }) {
  const draft = draftOf(row);
  const undo = undoOf(row, keep);
  Object.assign(draft, { busy: true, said: null });
  update();
  const body = { id: row.id, keep, again, ...(keep === "value" ? { value: chosen } : {}), ...(draft.note ? { note: draft.note } : {}) };
  const answer = await ask(session, "resolve_conflict", body);
  draft.busy = false;
  if (answer.ok) Object.assign(draft, { open: false, text: null, note: "", done: { words: words(row, keep), undo } });
  else draft.said = { kind: answer.status === 409 ? "warn" : "bad", text: `${answer.message}. What you typed is still here.` };
  update();
}

/** What brings back how it was before: what a rule or somebody had chosen. Before an open one there was nothing but the other side. */
function undoOf(row, keep) {
  if (row.status === "settled" && OTHER[row.winner]) return { keep: row.winner, again: true };
  if (row.status === "resolved" && OTHER[row.chosen]) return { keep: row.chosen, again: true };
  return row.status === "open" && OTHER[keep] ? { keep: OTHER[keep], again: true, words: "Keep the other instead" } : null;
}

function words(row, keep) {
  return keep === "value" ? "your value is being written on both sides." : `the ${title(stampPlace(stampOf(row[keep])))} value was kept on both sides.`;
}
