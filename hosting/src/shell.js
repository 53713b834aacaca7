// What both pages have around their content: signing in, the banner for a lost connection, what was read.
import { html, nothing, render } from "lit-html";
import { link, reads, watch } from "./live.js";
import { start } from "./session.js";
import { notice, number, time } from "./words.js";

const ROLES = { viewer: "sees figures", operator: "also runs, decides and replays", admin: "also lets held deletes pass", none: "is signed in, with no role" };

/** Draw `content(session, update)` for whoever signs in. `header(session)` comes above it. */
export async function open(title, header, content) {
  const root = document.getElementById("page");
  root.replaceChildren();
  let session;
  let said = null;
  let door = null;
  let due = false;

  const draw = () => {
    due = false;
    render(session === undefined ? waiting(said) : session ? inside() : outside(), root);
  };
  const update = () => {
    if (!due) requestAnimationFrame(draw);
    due = true;
  };
  watch(update);

  const inside = () => html`
    <a class="skip" href="#content" @click=${skip}>Skip to the content</a>
    <header class="top"><a class="brand" href="/">${icon()} ${title}</a>${header(session)}
      <div class="who"><span>${session.name}</span><button class="plain" @click=${() => door.signOut()}>Sign out</button></div>
    </header>
    ${link.fresh ? nothing : html`<p class="notice warn wide" role="alert">No connection since ${time(link.since)}. What you see may be old; what you type stays, and is sent when the connection is back.</p>`}
    <main id="content" tabindex="-1">${content(session, update)}</main>
    <footer>Read since this page was opened: <span id="reads">${number(reads.documents)}</span> documents</footer>`;

  const outside = () => html`<header class="top"><a class="brand" href="/">${icon()} ${title}</a></header>
    <main id="content" class="narrow"><h1>Sign in</h1>${notice(said)}${door?.local ? asRole() : asUser()}</main>`;

  const asRole = () => html`<p>This stack runs on your machine, where nobody needs a password. Who are you?</p>
    <form @submit=${signIn}><fieldset class="choices"><legend>Role</legend>
      ${Object.entries(ROLES).map(([role, does]) => html`<label><input type="radio" name="role" value=${role} ?checked=${role === "operator"}> <b>${role === "none" ? "somebody" : role}</b> <span class="quiet">${does}</span></label>`)}
    </fieldset><label>Key of your own member record, if you have one <input name="member"></label><button class="main">Sign in</button></form>`;

  const asUser = () => html`<form @submit=${signIn}>
      <label>Email <input name="email" type="email" autocomplete="username" required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
      <button class="main">Sign in</button></form>`;

  const signIn = async (event) => {
    event.preventDefault();
    try {
      await door.signIn(Object.fromEntries(new FormData(event.target)));
    } catch (error) {
      const offline = error.code === "auth/network-request-failed";
      said = { kind: "bad", text: offline ? "There is no network. Try again when it is back." : "That email and password do not belong together. Try again, or ask an admin." };
      update();
    }
  };

  draw();
  try {
    const found = await start((who) => {
      session = who;
      update();
    });
    door = found;
  } catch {
    said = { kind: "bad", text: "The page cannot find out which project it belongs to. Reload it; if that does not help, the site is not deployed rightly." };
  }
  update();
}

const waiting = (said) => html`<main><p class="quiet" role="status">${said ? nothing : "Loading …"}</p>${notice(said)}</main>`;

function skip(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

const icon = () => html`<img src="/icon.svg" alt="" width="28" height="28">`;
