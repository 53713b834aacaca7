// Figures over time as lines, by days in UTC; beside each the same as a table, for whoever does not see lines.
import { html } from "lit-html";
import { ref, createRef } from "lit-html/directives/ref.js";
import uPlot from "uplot";

const HEIGHT = 150;
const DAY = 86_400; // seconds, as the axis counts
const WEEK = 7 * DAY; // fewer days are not drawn wider
const DATES = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const plots = new Map();
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => redraw());
window.addEventListener("resize", () => redraw());

/** `lines` are [name, day => number]. */
export function chart(name, days, lines) {
  const place = (plots.get(name) || plots.set(name, { box: createRef(), shown: "" }).get(name));
  Object.assign(place, { days, lines });
  queueMicrotask(() => draw(place));
  const last = days.at(-1);
  return html`<figure class="chart"><figcaption>${name}<span class="quiet"> · last: ${lines.map(([line, of], at) => html`${at ? ", " : ""}<span class="key key-${at + 1}"></span>${said(of(last))} ${line}`)}</span></figcaption>
    <div ${ref(place.box)} class="plot" aria-hidden="true"></div>
    <details><summary>As a table</summary><div class="wide-table" tabindex="0" role="region" aria-label="${name}, as a table"><table><thead><tr><th scope="col">When</th>${lines.map(([line]) => html`<th scope="col">${line}</th>`)}</tr></thead>
      <tbody>${days.map((day) => html`<tr><th scope="row">${day.day}</th>${lines.map(([, of]) => html`<td>${said(of(day))}</td>`)}</tr>`)}</tbody></table></div></details></figure>`;
}

const said = (figure) => (figure === null || figure === undefined ? "–" : figure.toLocaleString(undefined, { maximumSignificantDigits: 3 }));

function redraw() {
  for (const place of plots.values()) {
    place.shown = "";
    draw(place);
  }
}

function draw(place) {
  const box = place.box.value;
  const shown = JSON.stringify(place.days.map((day) => [day.day, ...place.lines.map(([, of]) => of(day))]));
  if (!box?.isConnected || (shown === place.shown && box.firstChild)) return;
  place.shown = shown;
  box.replaceChildren();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const series = place.lines.map(([label], at) => ({ label, stroke: colour(`--line-${at + 1}`), width: 2, points: { show: place.days.length < 40, size: 6, fill: colour(`--line-${at + 1}`) } }));
  const data = [place.days.map((day) => Date.parse(day.day) / 1000), ...place.lines.map(([, of]) => place.days.map(of))];
  const dates = { ...axis, space: 64, size: 28, values: (_, splits) => splits.map((each) => DATES.format(each * 1000)) };
  const numbers = { ...axis, size: 56, values: (_, splits) => splits.map((each) => (each === null ? "" : said(each))) };
  new uPlot({ width: box.clientWidth || 300, height: HEIGHT, legend: { show: false }, cursor: { show: false }, scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] }, x: { range: () => [Math.min(data[0][0], data[0].at(-1) - WEEK) - DAY / 2, data[0].at(-1) + DAY / 2] } }, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"), axes: [dates, numbers], series: [{}, ...series] }, data, box);
}
