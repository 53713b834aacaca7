// One record's story as a timeline, how it is on both sides, and its repair.
import { html, nothing } from "lit-html";
import { ask } from "../functions.js";
import { entities, health, look } from "../health.js";
import { plan } from "../plan.js";
import { label, notice, stampPlace, stampTime, time, title, value } from "../words.js";
import { tallies } from "./runs.js";

const SIGNS = { conflict: "warn", refused: "bad", deleted: "warn" };

export function record({ session, update, parts: [entity, key, tenant] }) {
  const it = { entity, key: key || "", tenant: tenant || "", story: null, busy: "", said: null, found: null };
  const call = async (busy, name, body) => {
    Object.assign(it, { busy, said: null });
    update();
    const answer = await ask(session, name, body);
    it.busy = "";
    if (!answer.ok) it.said = { kind: answer.status === 404 ? "calm" : "bad", text: answer.message };
    return answer.ok ? answer.result : null;
  };
  const explain = async () => {
    const tenant = it.tenant ? { tenant: it.tenant } : {};
    const found = await call("Asking both sides …", "explain_record", { entity: it.entity, key: it.key, ...tenant });
    it.story = found?.story ?? null;
    update();
  };
  const compare = async (body, words) => {
    const { pair } = entities().find(({ name }) => name === it.entity);
    const tenant = it.tenant ? { tenant: it.tenant } : {};
    const found = await call(words, "reconcile", { pair, entities: [it.entity], keys: [it.key], ...tenant, ...body });
    it.found = found ? { ...found.pairs[pair], only: body.dry_run ? "look" : "repair" } : it.found;
    if (found && !body.dry_run) await explain();
    update();
  };
  const go = (event) => {
    event.preventDefault();
    const { entity: kind, key: named, tenant: of } = Object.fromEntries(new FormData(event.target));
    const address = `#record/${kind}/${encodeURIComponent(named.trim())}${of ? `/${encodeURIComponent(of)}` : ""}`;
    if (location.hash === address) explain();
    else location.hash = address;
  };
  look(session, update);
  if (key) explain();
  return { draw: () => html`${form(it, go, update)}${it.busy ? html`<p role="status">${it.busy} <progress aria-label=${it.busy}></progress></p>` : nothing}${notice(it.said)}${it.story ? told(it, compare) : nothing}`, stop: () => {} };
}

function form(it, go, update) {
  if (!health.pairs) return health.message ? notice({ kind: "bad", text: health.message }) : nothing;
  const chosen = entities().find(({ name }) => name === it.entity) || entities().find(({ name }) => name === "member") || entities().at(-1);
  return html`<form class="filters" role="search" @submit=${go}>
    <label>Entity <select name="entity" @change=${(event) => { it.entity = event.target.value; update(); }}>${entities().map(({ name }) => html`<option ?selected=${name === chosen.name}>${name}</option>`)}</select></label>
    ${chosen.tenants.length ? html`<label>Tenant <select name="tenant">${chosen.tenants.map((each) => html`<option ?selected=${each === it.tenant}>${each}</option>`)}</select></label>` : nothing}
    <label>Key <input name="key" required .value=${it.key}></label><button class="main">Tell its story</button></form>`;
}

function told(it, compare) {
  const { story } = it;
  const well = story.state === "equal on both sides" || story.state === "deleted on both sides";
  return html`<section class="card"><h2>${it.entity} ${it.key}</h2><p>${label(well ? "good" : "warn", story.state)}</p>${story.notes.map((each) => html`<p class="quiet">${each}</p>`)}
      <div class="actions"><button ?disabled=${!!it.busy} @click=${() => compare({ dry_run: true }, "Comparing both sides …")}>Check for drift</button>
      <button class=${it.found?.only === "look" && it.found.plan?.length ? "main" : ""} ?disabled=${!!it.busy} @click=${() => compare({}, "Mending …")}>Repair this record</button></div>
      ${it.found ? html`<div role="status">${it.found.only === "look" && !it.found.plan?.length ? html`<p class="notice good">Both sides agree: there is nothing to mend.</p>` : nothing}${it.found.only === "look" ? plan({ ...it.found, plan: it.found.plan?.length ? it.found.plan : null }) : html`<p class="notice good">Compared, and mended where it differed.</p>${tallies("What was found", "Entity", it.found.reconciled, (name) => name)}`}</div>` : nothing}</section>
    <section><h2>As it is now</h2>${now(story)}</section>
    <section><h2>What happened</h2><ol class="timeline">${story.events.map((each) => html`<li class=${each.what}><p class="when">${time(each.at)} · ${title(each.where)}</p><p>${label(SIGNS[each.what] || "calm", each.what)} <span class="quiet">${each.fate}</span> ${each.run && each.run !== "tracker" ? html`<a href="#runs/${encodeURIComponent(`${pairOf(it.entity)}:${each.run}`)}">its run</a>` : nothing}</p>
      <dl class="change">${Object.entries(each.fields).map(([name, shown]) => html`<div><dt>${title(name)}</dt><dd>${value(shown)}</dd></div>`)}</dl></li>`)}</ol></section>`;
}

const pairOf = (entity) => entities().find(({ name }) => name === entity)?.pair;

function now(story) {
  const sides = Object.keys(story.fields[0]?.held || {});
  return html`<div class="wide-table" tabindex="0" role="region" aria-label="As it is now"><table><thead><tr><th scope="col">Field</th>${sides.map((side) => html`<th scope="col">${title(side)}</th>`)}<th scope="col">State</th></tr></thead>
    <tbody>${story.fields.map((each) => html`<tr><th scope="row">${each.field}</th>${sides.map((side) => html`<td>${each.held[side] ? html`${value(each.held[side].value)}<br><span class="quiet">${title(stampPlace(each.held[side].stamp))}, ${stampTime(each.held[side].stamp)}</span>` : value(null)}</td>`)}<td>${label({ equal: "good", differs: "warn", unseen: "busy" }[each.state], { equal: "in step", differs: "differs", unseen: "not adopted yet" }[each.state])}</td></tr>`)}</tbody></table></div>`;
}
