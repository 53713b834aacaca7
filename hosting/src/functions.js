// Calls of the functions, and what they answer, in plain words.

const WORDS = {
  401: "You are no longer signed in. Sign in again; what you typed stays here.",
  404: null,
  502: "The functions do not answer. Nothing was lost: try again in a moment.",
  503: null,
  504: "No answer within a minute. What was begun goes on by itself, and shows under Runs.",
};

const UNSEEN = "No answer within a minute: there is too much for a dry run here. Nothing was written; ./bothways plan waits as long as it takes.";

/** Return {ok, status, result, errors, message} of a function; never throws. `message` is for people. */
export async function ask(session, name, body) {
  try {
    const answer = await fetch(`/api/${name}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { Authorization: `Bearer ${await session.token()}`, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    const errors = said.errors || [];
    const message = (answer.status === 504 && body?.dry_run && UNSEEN) || WORDS[answer.status] || errors.map((each) => each.message).join("; ") || `The functions answered ${answer.status}.`;
    return { ok: answer.ok, status: answer.status, result: said.result || {}, errors, message: answer.ok ? "" : message, runId: said.runId };
  } catch {
    const message = "The functions cannot be reached: is there a network? Nothing was lost; try again.";
    return { ok: false, status: 0, result: {}, errors: [], message };
  }
}
