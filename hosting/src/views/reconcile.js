// Comparing whole peers, and mending what differs.
import { html, nothing } from "lit-html";
import { ask } from "../functions.js";
import { entities, health, look, pairNames } from "../health.js";
import { listen, newest } from "../live.js";
import { brakes, plan } from "../plan.js";
import { may } from "../session.js";
import { number, label, notice, plural, state, time } from "../words.js";
import { isRunning, outcome, tallies } from "./runs.js";

const LOOKED_THROUGH = 50;
const DEEDS = { report: ["Only count what differs", { repair: false }], dry: ["Show what would be done", { dry_run: true }], repair: ["Compare and mend", {}] };

export function reconcile({ session, update }) {
  const it = { asked: { mode: "full", deed: "report" }, busy: "", said: null, report: null };
  const found = listen(session.db, "sync_runs", [newest("started_at")], LOOKED_THROUGH, update);
  const leases = listen(session.db, "sync_leases", [], 100, update);
  const start = async (more = {}) => {
    const { pair = pairNames()[0], entity, mode, deed } = it.asked;
    Object.assign(it, { busy: `${DEEDS[deed][0]} …`, said: null, report: null });
    update();
    const answer = await ask(session, "reconcile", { pair, mode, ...(entity ? { entities: [entity] } : {}), ...DEEDS[deed][1], ...more });
    it.busy = "";
    if (answer.ok) it.report = answer.result.pairs[pair];
    else it.said = { kind: answer.status === 409 || answer.status === 504 ? "warn" : "bad", text: answer.status === 409 ? "A run of this pair is under way: wait for it, and start again." : answer.message };
    look(session, update, true);
    update();
  };
  const submit = (event) => {
    event.preventDefault();
    it.asked = Object.fromEntries(new FormData(event.target));
    start();
  };
  look(session, update);
  return {
    draw: () => html`<p>Queues carry what is known to have changed. This compares the records themselves, and finds what no queue knows of.</p>
      <form class="card" @submit=${submit}>
        <div class="filters">${pairNames().length > 1 ? html`<label>Pair <select name="pair">${pairNames().map((each) => html`<option>${each}</option>`)}</select></label>` : nothing}
        <label>Entity <select name="entity"><option value="">all</option>${entities().map(({ name }) => html`<option>${name}</option>`)}</select></label>
        <label>How <select name="mode"><option value="full">full: read every record</option><option value="quick">quick: by digests</option></select></label>
        <label>What to do <select name="deed">${Object.entries(DEEDS).map(([deed, [words]]) => html`<option value=${deed}>${words}</option>`)}</select></label></div>
        <div class="actions"><button class="main" ?disabled=${!!it.busy || !health.pairs}>Start</button></div>
        ${!health.pairs && health.message ? notice({ kind: "bad", text: health.message }) : nothing}
        ${it.busy ? html`<p role="status">${it.busy} <progress aria-label=${it.busy}></progress> ${progress(leases.rows)}</p>` : nothing}${notice(it.said)}</form>
      ${it.report ? html`<section class="card" aria-live="polite"><h2>Report</h2>${said(it.report)}${figures(it.report.reconciled)}${brakes(it.report.brakes, may(session, "admin"), (allowed) => start({ allow_mass_delete: allowed, dry_run: false }))}${plan(it.report)}</section>` : nothing}
      <section><h2>Earlier ones</h2>${state(found, "No run yet.")}${earlier(found)}</section>`,
    stop: () => {
      found.stop();
      leases.stop();
    },
  };
}

const progress = (leases) => leases.filter((each) => each.until && each.done?.compared).map((each) => html`${plural(each.done.compared, "record")} compared so far. `);

function said({ reconciled = {} }) {
  const differ = Object.values(reconciled).reduce((sum, each) => sum + each.different, 0);
  return html`<p>${label(differ ? "warn" : "good", differ ? `${plural(differ, "record differs", "records differ")}` : "both sides agree")}</p>`;
}

function figures(reconciled = {}) {
  const fields = Object.entries(reconciled).flatMap(([entity, each]) => Object.entries(each.fields || {}).map(([field, times]) => ({ entity, field, times })));
  return html`${tallies("By entity, in records", "Entity", reconciled, (name) => name)}
    ${fields.length ? html`<div class="wide-table" tabindex="0" role="region" aria-label="By field"><table><caption>By field</caption><thead><tr><th scope="col">Entity</th><th scope="col">Field</th><th scope="col">Differed</th></tr></thead><tbody>${fields.map((each) => html`<tr><td>${each.entity}</td><th scope="row">${each.field}</th><td>${number(each.times)}</td></tr>`)}</tbody></table></div>` : nothing}`;
}

function earlier(found) {
  const rows = found.rows.filter((run) => run.result?.reconciled);
  if (found.state !== "ready" || !found.rows.length) return nothing;
  if (!rows.length) return html`<p class="quiet">There is none among the latest ${plural(found.rows.length, "run")}.</p>`;
  return html`${rows.map((run) => html`<details><summary>${time(run.started_at)} ${isRunning(run) ? label("busy", "running") : outcome(run)}</summary>${figures(run.result.reconciled)}<p><a href="#runs/${encodeURIComponent(run.id)}">The whole run</a></p></details>`)}<p class="quiet">Among the latest ${plural(found.rows.length, "run")}.</p>`;
}
