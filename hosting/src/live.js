// Listeners with bounds. Every document that is read is counted, since each is billed.
import { collection, documentId, getCountFromServer, limit, onSnapshot, orderBy, query, where } from "firebase/firestore";

export const reads = { documents: 0 };
export const link = { fresh: true, since: null };
const watchers = new Set();

/** Call `changed` whenever the number of reads or the connection changes. */
export function watch(changed) {
  watchers.add(changed);
}

function tell() {
  for (const each of watchers) each();
}

window.addEventListener("offline", () => connection(false));
window.addEventListener("online", settle);

const PATIENCE = 3000; // for so many ms a listener may catch up before it counts as cut off
const listening = new Set();

/** The connection is there while no listener has been behind for long. */
function settle() {
  const behind = [...listening].some((each) => each.behind);
  if (!behind) return connection(navigator.onLine);
  setTimeout(() => connection(navigator.onLine && ![...listening].some((each) => each.behind && Date.now() - each.behind >= PATIENCE)), PATIENCE);
}

function connection(fresh) {
  if (link.fresh === fresh) return;
  link.fresh = fresh;
  link.since = fresh ? null : new Date();
  tell();
}

export const equal = (field, value) => where(field, "==", value);
export const among = (field, values) => where(field, "in", values);
export const newest = (field) => orderBy(field, "desc");
export const idFrom = (id) => where(documentId(), ">=", id);
export const idBelow = (id) => where(documentId(), "<", id);

/**
 * Listen to at most `most` documents of a query; return {rows, state, more, stop}. `state` is loading, ready or an error's
 * sentence; `more` says that there are further ones. One document more than is shown is read, to know that.
 */
export function listen(db, name, parts, most, changed) {
  const found = { rows: [], state: "loading", more: false, behind: null, stop: () => {} };
  const asked = query(collection(db, name), ...parts, limit(most + 1));
  const heard = (snapshot) => {
    found.behind = snapshot.metadata.fromCache ? (found.behind ?? Date.now()) : null;
    settle();
    if (found.behind && found.state === "loading" && snapshot.empty) return; // cut off before anything came: not the same as nothing
    reads.documents += snapshot.docChanges().length;
    found.rows = snapshot.docs.slice(0, most).map((each) => ({ ...each.data(), id: each.id }));
    found.more = snapshot.docs.length > most;
    found.state = "ready";
    tell();
    changed();
  };
  const end = onSnapshot(asked, { includeMetadataChanges: true }, heard, (error) => {
    listening.delete(found);
    found.state = wordsOf(error);
    changed();
  });
  listening.add(found);
  found.stop = () => {
    listening.delete(found);
    end();
  };
  return found;
}

/** Return how many documents a query has: a read for each thousand. Null where nobody says. */
export async function count(db, name, parts) {
  try {
    const number = (await getCountFromServer(query(collection(db, name), ...parts))).data().count;
    reads.documents += Math.max(1, Math.ceil(number / 1000));
    tell();
    return number;
  } catch {
    return null;
  }
}

export function wordsOf(error) {
  if (error.code === "permission-denied") return "You may not see this. An admin can give you the role it needs.";
  if (error.code === "unavailable") return "Firestore cannot be reached. What is shown may be old; it comes back by itself.";
  return `Firestore refused this (${error.code || "unknown"}). Reload the page; if it stays, see the log.`;
}
