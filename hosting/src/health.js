// What sync_health says, asked for once and shared by all views; again when somebody wants to know.
import { ask } from "./functions.js";

export const health = { pairs: null, problems: [], at: null, message: "", asking: false };

/** Ask, unless it is known already; `again` asks anyway. 503 is an answer too: something needs somebody. */
export async function look(session, update, again = false) {
  if (health.asking || (health.pairs && !again)) return;
  health.asking = true;
  update();
  const answer = await ask(session, "sync_health");
  health.asking = false;
  if (answer.result.pairs) Object.assign(health, { pairs: answer.result.pairs, problems: answer.errors, at: new Date(), message: "" });
  else health.message = answer.message;
  update();
}

export const pairNames = () => Object.keys(health.pairs || {});
export const sidesOf = (pair) => Object.keys(health.pairs?.[pair]?.peers || {});
export const entities = () => Object.entries(health.pairs || {}).flatMap(([pair, each]) => Object.entries(each.entities).map(([name, tenants]) => ({ pair, name, tenants })));
