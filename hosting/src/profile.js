// The member's own page: edits a document field by field, as any front end does, and says what has become of each edit.
import { html, nothing } from "lit-html";
import { doc, documentId, updateDoc, where } from "firebase/firestore";
import fields from "./member-fields.json";
import { read, refusal, shownIn } from "./fields.js";
import { equal, link, listen, wordsOf } from "./live.js";
import { may } from "./session.js";
import { open } from "./shell.js";
import { label, notice } from "./words.js";

const CHOICES = 200;
const ABOUT = 50;
const STATES = {
  step: ["good", "in step"],
  typed: ["warn", "not saved yet"],
  saving: ["busy", "being saved …"],
  sending: ["busy", "saved on this device"],
  saved: ["busy", "saved here"],
  waiting: ["busy", "waiting for the backend"],
  conflict: ["warn", "in conflict: somebody decides"],
  refused: ["bad", "the backend refuses it"],
  unknown: ["good", "saved"],
};
const SENT = "bothways-sent"; // what no trigger has seen yet is told so after a reload too
const page = { key: null, session: null, drafts: new Map(), sent: new Map(JSON.parse(sessionStorage.getItem(SENT) || "[]")), stop: [] };
let redraw = () => {};
window.addEventListener("hashchange", () => redraw());

const header = (session) => html`<nav aria-label="Pages"><ul>${may(session, "viewer") ? html`<li><a href="/">Dashboard</a></li>` : nothing}<li><a href="/profile" aria-current="page">Profile</a></li></ul></nav>`;

open("Member profile", header, (session, update) => {
  redraw = update;
  const key = decodeURIComponent(location.hash.slice(1)) || session.member;
  if (!key) return choose();
  if (page.key !== key || page.session !== session) begin(session, update, key);
  const [member] = page.member.rows;
  return html`<h1>${member?.name || "Profile"}</h1>${content(session, update, member)}`;
});

const choose = () => html`<h1>Profile</h1><form class="card" @submit=${(event) => {
  event.preventDefault();
  location.hash = encodeURIComponent(new FormData(event.target).get("key").trim());
}}><label>Key of the member <input name="key" required></label><button class="main">Open</button></form>`;

function begin(session, update, key) {
  for (const each of page.stop) each.stop();
  const own = session.member === key || may(session, "operator");
  const about = (collection, status, value) => (own ? listen(session.db, collection, [equal("entity", "member"), equal("key", key), equal(status, value)], ABOUT, update) : null);
  Object.assign(page, {
    key,
    session,
    own,
    member: listen(session.db, "members", [where(documentId(), "==", key)], 1, update),
    queue: about("sync_queue", "sync_status", "pending"),
    conflicts: about("sync_conflicts", "status", "open"),
    letters: about("sync_dead_letters", "status", "open"),
    branches: listen(session.db, "branches", [], CHOICES, update),
    interests: listen(session.db, "interests", [], CHOICES, update),
  });
  page.stop = [page.member, page.queue, page.conflicts, page.letters, page.branches, page.interests].filter(Boolean);
}

function content(session, update, member) {
  if (page.member.state === "loading") return html`<p class="quiet" role="status">Loading …</p>`;
  if (page.member.state !== "ready") return notice({ kind: "bad", text: page.member.state });
  if (!member) return notice({ kind: "warn", text: "There is no member with this key here. If it was just created elsewhere, it comes with the next run." });
  return html`<p class="quiet">What you save is here at once, and goes to the backend with the next run.${page.own ? "" : " What has become of an edit is told to the member alone, and to operators."}</p>
    <div class="fields">${fields.map((field) => one(field, member, session, update))}</div>`;
}

function one(field, member, session, update) {
  const kept = shownIn(field, member[field.at]);
  const draft = page.drafts.get(draftKey(field));
  const typed = draft !== undefined && !same(draft.value, kept);
  const state = stateOf(field, member, typed);
  const [kind, words] = STATES[state];
  const wrong = typed ? refusal(field, draft.value) : null;
  const theirs = typed && !same(draft.base, kept) ? kept : null;
  const refused = page.letters?.rows.find((row) => field.name in (row.fields || {}) || field.name in (row.change?.fields || {}));
  return html`<form class="field" aria-label="Edit ${field.label}" @submit=${(event) => { event.preventDefault(); if (!wrong && typed) save(field, draft.value, member, session, update); }}>
    ${control(field, typed ? draft.value : kept, wrong, (value) => { page.drafts.set(draftKey(field), { value, base: typed ? draft.base : kept }); update(); })}
    <div class="row"><span id="state-${field.name}" role="status">${label(kind, words)}</span>
    ${typed ? html`<span class="actions"><button class="main" ?disabled=${!!wrong}>Save</button><button type="button" class="plain" @click=${() => { page.drafts.delete(draftKey(field)); update(); }}>Undo</button></span>` : nothing}</div>
    ${wrong ? html`<p class="notice bad" id="wrong-${field.name}" role="alert">${wrong}</p>` : nothing}
    ${theirs !== null ? html`<p class="notice warn" role="status">Somebody else saved “${[theirs].flat().join(", ") || "nothing"}” meanwhile. Save to put yours in its place, or undo to take theirs.</p>` : nothing}
    ${state === "refused" && refused ? html`<p class="notice bad" role="alert">${refused.fields?.[field.name] || refused.message}. Your value is kept here; change it and save again.</p>` : nothing}
    ${page.sent.get(draftKey(field))?.error ? notice({ kind: "bad", text: page.sent.get(draftKey(field)).error }) : nothing}</form>`;
}

const draftKey = (field) => `${page.key}/${field.name}`;
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** What has become of the last edit of a field, as far as this page may know. */
function stateOf(field, member, typed) {
  if (typed) return "typed";
  const sent = page.sent.get(draftKey(field));
  if (sent?.pending) return link.fresh ? "saving" : "sending";
  const has = (found, fieldsOf) => found?.rows.some((row) => field.name in (fieldsOf(row) || {}));
  if (page.conflicts?.rows.some((row) => row.field === field.name)) return "conflict";
  if (has(page.letters, (row) => row.change?.fields)) return "refused";
  if (has(page.queue, (row) => row.fields)) return "waiting";
  if (!member._sync || (sent && indexOf(member, field) === sent.index)) return "saved"; // no trigger has seen it yet
  return page.own ? "step" : "unknown";
}

const indexOf = (member, field) => member._sync?.fields?.[field.name] ?? member._sync?.fields?.[field.at] ?? null;

async function save(field, value, member, session, update) {
  const key = draftKey(field);
  const it = { pending: true, index: indexOf(member, field) };
  page.sent.set(key, it);
  const draft = page.drafts.get(key);
  try {
    const written = updateDoc(doc(session.db, "members", page.key), { [field.at]: read(field, value, (path) => doc(session.db, path)) });
    page.drafts.delete(key); // the listener shows it from here on, even without a connection
    update();
    await written;
  } catch (error) {
    page.drafts.set(key, draft); // nothing typed is lost
    it.error = `${wordsOf(error)} What you typed is still here.`;
    it.index = undefined;
  }
  it.pending = false;
  sessionStorage.setItem(SENT, JSON.stringify([...page.sent].map(([name, { index }]) => [name, { index }])));
  update();
}

function control(field, value, wrong, changed) {
  const typed = (event) => changed(event.target.value);
  const about = `state-${field.name}${wrong ? ` wrong-${field.name}` : ""}`;
  const invalid = wrong ? "true" : "false";
  if (field.kind === "lines") return html`<label>${field.label} <textarea rows="3" .value=${value} aria-describedby=${about} aria-invalid=${invalid} @input=${typed}></textarea></label>`;
  if (field.kind === "choice") return html`<label>${field.label} <select aria-describedby=${about} .value=${value} @change=${typed}><option value="" ?selected=${value === ""}>none</option>${options(field, [value]).map((each) => html`<option value=${each.id} ?selected=${each.id === value}>${each.name || each.id}</option>`)}</select></label>`;
  if (field.kind === "choices") return html`<fieldset aria-describedby=${about}><legend>${field.label}</legend>${options(field, value).map((each) => html`<label><input type="checkbox" .checked=${value.includes(each.id)} @change=${(event) => changed(event.target.checked ? [...value, each.id].sort() : value.filter((one) => one !== each.id))}> ${each.name || each.id}</label>`)}</fieldset>`;
  return html`<label>${field.label} <input type=${field.kind === "date" ? "date" : "text"} inputmode=${field.kind === "email" ? "email" : nothing} .value=${value} aria-describedby=${about} aria-invalid=${invalid} @input=${typed}></label>`;
}

/** All that can be chosen, and what is chosen though it is not there (any more). */
function options(field, chosen) {
  const rows = page[field.from].rows;
  return [...rows, ...chosen.filter((id) => id && !rows.some((row) => row.id === id)).map((id) => ({ id }))];
}
