// What a dry run would do, as a table, and the deletes that the brake holds.
import { html, nothing } from "lit-html";
import { arrow, keyLink, number, plural, stampPlace, stampTime, value } from "./words.js";

export function plan(report) {
  if (!report.plan) return nothing;
  if (!report.plan.length) return html`<p class="notice calm" role="status">There is nothing to carry.</p>`;
  const cost = report.forecast_cost;
  return html`<div class="wide-table" tabindex="0" role="region" aria-label="The plan"><table class="plan"><caption>What would be done: ${plural(report.plan.length + report.plan_more, "row")}${cost ? `, for ${cost.amount} ${cost.currency}` : ""}</caption>
    <thead><tr><th scope="col">Way</th><th scope="col">Record</th><th scope="col">Field</th><th scope="col">From</th><th scope="col">To</th><th scope="col">Why</th></tr></thead>
    <tbody>${report.plan.slice(0, 200).map(row)}</tbody></table></div>
    ${report.plan.length + report.plan_more > 200 ? html`<p class="quiet">${number(report.plan.length + report.plan_more - 200)} further rows are not shown; <code>./bothways sync --dry-run --json</code> tells more.</p>` : nothing}`;
}

const row = (each) => html`<tr class=${each.action}><td>${arrow(each.direction)}</td><td>${each.key ? html`${each.entity} ${keyLink(each)}` : (each.id ?? "–")}</td><td>${each.field ?? (each.action === "delete" ? "(the record)" : "–")}</td><td>${shown(each.from)}</td><td>${each.action === "delete" ? "deleted" : shown(each.to)}</td><td>${each.action === "none" ? "stays: " : ""}${each.why}</td></tr>`;

function shown(side) {
  if (!side) return value(null);
  if (side.characters) return html`<span class="none">${number(side.characters)} characters</span>`;
  return html`${"value" in side ? value(side.value) : html`<span class="none">deleted</span>`}${side.stamp ? html`<br><span class="quiet">${stampPlace(side.stamp)}, ${stampTime(side.stamp)}</span>` : nothing}`;
}

/** `allow` is called with the plan's hash; null where nothing can be allowed, since the plan may be an old one. */
export function brakes(held, isAdmin, allow) {
  if (!held?.length) return nothing;
  return html`<section class="notice warn" role="alert"><h3>The brake holds deletes</h3>${held.map((each) => html`<p>${arrow(each.direction)}: <b>${plural(each.deletes, "delete")}</b> of ${each.entity}, and at most ${number(each.allowed)} pass unasked. Plan <code>${each.plan}</code>.
    ${allow ? (isAdmin ? html`<br><button class="danger" @click=${() => allow(each.plan)}>Allow just these ${number(each.deletes)} deletes, and run</button>` : html`<br><span class="quiet">Only somebody with the role admin can allow it.</span>`) : html`<br><a href="#runs">A dry run shows what is held now.</a>`}</p>`)}</section>`;
}
