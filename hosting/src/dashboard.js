// The dashboard: which view the address names, and the way from one to another.
import { html, nothing } from "lit-html";
import { open } from "./shell.js";
import { may } from "./session.js";
import { conflicts } from "./views/conflicts.js";
import { letters } from "./views/letters.js";
import { overview } from "./views/overview.js";
import { queue } from "./views/queue.js";
import { reconcile } from "./views/reconcile.js";
import { record } from "./views/record.js";
import { runs } from "./views/runs.js";

/** Name in the address: title, role that it takes, what opens it. */
const VIEWS = {
  overview: ["Overview", "viewer", overview],
  runs: ["Runs", "viewer", runs],
  queue: ["Queue", "operator", queue],
  conflicts: ["Conflicts", "operator", conflicts],
  letters: ["Dead letters", "operator", letters],
  record: ["Record", "operator", record],
  reconcile: ["Reconcile", "operator", reconcile],
};
let shown = { address: null, session: null, view: null };

function header(session) {
  if (!may(session, "viewer")) return nothing;
  const [here] = placed();
  return html`<nav aria-label="Pages"><ul>${Object.entries(VIEWS).map(
    ([name, [title]]) => html`<li><a href="#${name}" aria-current=${name === here ? "page" : "false"}>${title}</a></li>`,
  )}</ul></nav>`;
}

function placed() {
  const [name, ...parts] = location.hash.slice(1).split("/").map(decodeURIComponent);
  return [name in VIEWS ? name : "overview", parts];
}

function content(session, update) {
  if (!may(session, "viewer")) return noRole(session);
  const [name, parts] = placed();
  const [title, role, view] = VIEWS[name];
  document.title = `${title} · Bothways`;
  if (!may(session, role)) {
    return html`<h1>${title}</h1><p class="notice warn">This page shows people's values, so it needs the role <b>${role}</b>; yours is ${session.role}. An admin can give it to you.</p>`;
  }
  if (shown.address !== location.hash || shown.session !== session) { // whoever signs in anew has another token
    shown.view?.stop();
    shown = { address: location.hash, session, view: view({ session, update, parts }) };
  }
  return html`<h1>${title}</h1>${shown.view.draw()}`;
}

const noRole = (session) => html`<h1>No role yet</h1>
  <p class="notice warn">You are signed in as ${session.name}, but have no role here. An admin gives you one with
  <code>./bothways grant EMAIL ROLE</code>; then sign out and in again.</p>
  <p>Your own record is on the <a href="/profile">profile page</a>.</p>`;

let redraw = () => {};
window.addEventListener("hashchange", () => {
  redraw();
  document.getElementById("content")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});

open("Bothways", header, (session, update) => {
  redraw = update;
  return content(session, update);
});
