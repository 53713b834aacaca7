// Figures by day, as sync_statistics keeps them, and today's from the runs themselves.

const SHORTEST = 0.01; // durations are counted by size, each a tenth more than the one before (shared/statistics.py)
const STEP = 1.1;

/** Return [{day, changes, conflicts, dead_letters, p50, p95, cost, currency}], the earliest first. */
export function daysOf(kept, runs, today) {
  const days = kept.filter((each) => each.day !== today).map(ofDay);
  const ended = runs.filter((each) => each.result);
  return ended.length ? [...days, ofRuns(ended, today)] : days;
}

function ofDay(row) {
  const sizes = Object.entries(row.durations || {}).map(([size, count]) => [SHORTEST * STEP ** Number(size), count]);
  return { ...row, ...times(sizes), ...spent(Object.entries(row.costs || {})) };
}

function ofRuns(runs, day) {
  const sum = (figure) => runs.reduce((all, each) => all + figure(each.result), 0);
  return {
    day,
    changes: sum((each) => total(each.directions, "read") + total(each.reconciled, "repaired")),
    conflicts: sum((each) => each.conflicts),
    dead_letters: sum((each) => each.dead_letters),
    ...times(runs.map((each) => [(each.completed_at.toMillis() - each.started_at.toMillis()) / 1000, 1])),
    ...spent([[runs[0].result.cost.currency, sum((each) => each.cost.amount)]]),
  };
}

export const total = (parts, name) => Object.values(parts || {}).reduce((all, each) => all + (each[name] || 0), 0);

function times(sizes) {
  const sorted = sizes.sort(([a], [b]) => a - b);
  const all = sorted.reduce((sum, [, count]) => sum + count, 0);
  const at = (share) => {
    let seen = 0;
    return sorted.find(([, count]) => (seen += count) >= Math.ceil(share * all))?.[0] ?? null;
  };
  return { p50: at(0.5), p95: at(0.95) };
}

const spent = ([first]) => ({ currency: first?.[0] ?? "USD", cost: first?.[1] ?? 0 });
