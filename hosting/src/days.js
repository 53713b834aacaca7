// Figures by day, as sync_statistics keeps them, and today's from the runs themselves; or by month.

const SHORTEST = 0.01; // durations are counted by size, each a tenth more than the one before (shared/statistics.py)
const STEP = 1.1;

/** Return [{day, carried, conflicts, dead_letters, p50, p95, cost, currency}], the earliest first; `carried` is by direction. */
export function daysOf(kept, runs, today, byMonth) {
  const ended = runs.filter((each) => each.result);
  const days = kept.filter((each) => each.day !== today).map(ofDay);
  if (ended.length) days.push(ofRuns(ended, today));
  const periods = byMonth ? [...new Set(days.map(monthOf))].map((month) => together(month, days.filter((each) => monthOf(each) === month))) : days;
  return periods.map((each) => ({ ...each, ...times(each.sizes), ...spent(each.costs) }));
}

const monthOf = ({ day }) => day.slice(0, 7);

function ofDay(row) {
  const sizes = Object.entries(row.durations || {}).map(([size, count]) => [SHORTEST * STEP ** Number(size), count]);
  return { day: row.day, carried: row.carried || {}, conflicts: row.conflicts, dead_letters: row.dead_letters, sizes, costs: Object.entries(row.costs || {}) };
}

function ofRuns(runs, day) {
  return together(day, runs.map(({ result, started_at: begun, completed_at: ended }) => ({
    carried: { ...Object.fromEntries(Object.entries(result.directions).map(([way, each]) => [way, each.read])), reconcile: total(result.reconciled, "repaired") },
    conflicts: result.conflicts,
    dead_letters: result.dead_letters,
    sizes: [[(ended.toMillis() - begun.toMillis()) / 1000, 1]],
    costs: [[result.cost.currency, result.cost.amount]],
  })));
}

function together(day, parts) {
  const carried = {};
  for (const [way, number] of parts.flatMap((each) => Object.entries(each.carried))) carried[way] = (carried[way] || 0) + number;
  const sum = (figure) => parts.reduce((all, each) => all + figure(each), 0);
  return { day, carried, conflicts: sum((each) => each.conflicts), dead_letters: sum((each) => each.dead_letters), sizes: parts.flatMap((each) => each.sizes), costs: parts.flatMap((each) => each.costs) };
}

export const total = (parts, name) => Object.values(parts || {}).reduce((all, each) => all + (each[name] || 0), 0);

function times(sizes) {
  const sorted = [...sizes].sort(([a], [b]) => a - b);
  const all = sorted.reduce((sum, [, count]) => sum + count, 0);
  const at = (share) => {
    let seen = 0;
    return sorted.find(([, count]) => (seen += count) >= Math.ceil(share * all))?.[0] ?? null;
  };
  return { p50: at(0.5), p95: at(0.95) };
}

const spent = (costs) => {
  const currency = costs[0]?.[0] ?? "USD";
  return { currency, cost: costs.filter(([each]) => each === currency).reduce((all, [, amount]) => all + amount, 0) };
};
