// How values, times and states are said.
import { html, nothing } from "lit-html";

const TIMES = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const NEAR = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const NUMBERS = new Intl.NumberFormat();

export const number = (value) => (value === null || value === undefined ? "–" : NUMBERS.format(value));
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** Return a Date for a Timestamp, a Date or an ISO text; null for anything else. */
export function dateOf(moment) {
  if (!moment) return null;
  const date = typeof moment.toDate === "function" ? moment.toDate() : new Date(moment);
  return Number.isNaN(date.getTime()) ? null : date;
}

export function ago(moment) {
  const date = dateOf(moment);
  if (!date) return "–";
  const seconds = (date - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return NEAR.format(Math.round(seconds / size), unit);
  }
  return NEAR.format(Math.round(seconds), "second");
}

export function time(moment) {
  const date = dateOf(moment);
  if (!date) return "–";
  return html`<time datetime=${date.toISOString()} title=${date.toISOString()}>${TIMES.format(date)}</time>`;
}

export const stampTime = (stamp) => (stamp ? time(stamp.split("|")[0]) : "–");
export const stampPlace = (stamp) => (stamp ? stamp.split("|")[1] : "");
export const title = (name) => ({ django: "Django", firestore: "Firestore" })[name] || name;
export const arrow = (direction) => (direction || "").split("_to_").map(title).join(" → ");

/** Show a value as it is: text plainly, everything else as JSON, and the absence of one in words. */
export function value(shown) {
  if (shown === undefined || shown === null) return html`<span class="none">nothing</span>`;
  if (typeof shown === "string") return shown === "" ? html`<span class="none">empty text</span>` : html`<span class="value">${shown}</span>`;
  return html`<code class="value">${typeof shown === "object" ? JSON.stringify(plain(shown)) : String(shown)}</code>`;
}

/** Return a value that Firestore gave as one that JSON can say. */
export function plain(shown) {
  if (shown && typeof shown.toDate === "function") return shown.toDate().toISOString();
  if (Array.isArray(shown)) return shown.map(plain);
  if (shown && typeof shown === "object") return Object.fromEntries(Object.entries(shown).map(([name, each]) => [name, plain(each)]));
  return shown;
}

export function duration(from, to) {
  const [begun, ended] = [dateOf(from), dateOf(to)];
  if (!begun || !ended) return "–";
  const seconds = (ended - begun) / 1000;
  return seconds < 90 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

/** A label with a sign, so that colour is never all that tells. */
export function label(kind, text) {
  const sign = { good: "✓", bad: "✕", warn: "!", busy: "…", calm: "·" }[kind];
  return html`<span class="label ${kind}"><span aria-hidden="true">${sign}</span> ${text}</span>`;
}

/** What is said where a list is not there (yet). */
export function state(found, empty) {
  if (found.state === "loading") return html`<p class="quiet" role="status">Loading …</p>`;
  if (found.state !== "ready") return html`<p class="notice bad" role="alert">${found.state}</p>`;
  return found.rows.length === 0 ? html`<p class="quiet">${empty}</p>` : nothing;
}

export function notice(said) {
  if (!said) return nothing;
  return html`<p class="notice ${said.kind}" role=${said.kind === "bad" ? "alert" : "status"}>${said.text}</p>`;
}

export function keyLink(row) {
  const tenant = row.tenant ? `/${encodeURIComponent(row.tenant)}` : "";
  return html`<a href="#record/${row.entity}/${encodeURIComponent(row.key)}${tenant}">${row.tenant ? `${row.tenant} ` : ""}${row.key}</a>`;
}
