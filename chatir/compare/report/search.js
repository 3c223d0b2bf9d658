// Which targets match, and in which order: functions of the data alone.
const data = JSON.parse(document.getElementById("dialogs-data").textContent);
const TARGETS = data.ids.length;
const pictured = new Set(data.pictured);

/** For each run and target, how many of its questions repeat an earlier one. */
const repeats = data.runs.map((run) =>
  Uint16Array.from(run.repeats, (rounds) => rounds.reduce((sum, first) => sum + (first > 0), 0)),
);

let lowered = null;
let lastFound = { wanted: null, flags: null };

/** A flag for each of the texts: whether it contains the wanted one, whatever the case. */
function textsWith(wanted) {
  const sought = simplified(wanted);
  if (lastFound.wanted === sought) return lastFound.flags;
  lowered ??= data.texts.map(simplified);
  const flags = new Uint8Array(lowered.length);
  for (let place = 0; place < lowered.length; place++) flags[place] = lowered[place].includes(sought);
  lastFound = { wanted: sought, flags };
  return flags;
}

function simplified(text) {
  return text.normalize("NFKC").toLowerCase();
}

const summaries = new Map();

/** Ranks of a run's targets by a label: the first, the last and the best [targets]; null where it has none. */
function summary(run, label) {
  const ranks = data.runs[run].ranks[label];
  if (!ranks) return null;
  const key = run * data.labels.length + label;
  if (!summaries.has(key)) {
    const last = (rounds) => rounds.findLast((rank) => rank > 0) ?? 0;
    const best = (rounds) => rounds.reduce((least, rank) => (rank > 0 && rank < least ? rank : least), Infinity);
    summaries.set(key, {
      first: Float64Array.from(ranks, (rounds) => rounds[0]),
      last: Float64Array.from(ranks, last),
      best: Float64Array.from(ranks, best),
    });
  }
  return summaries.get(key);
}

/** What a filter on ranks asks of one run's dialog; `some` is asked of the runs together. */
const CHANGES = {
  improved: (ranks, target) => ranks.last[target] < ranks.first[target],
  worsened: (ranks, target) => ranks.last[target] > ranks.first[target],
  unchanged: (ranks, target) => ranks.last[target] === ranks.first[target],
  found: (ranks, target) => ranks.best[target] <= data.found,
  never: (ranks, target) => ranks.best[target] > data.found,
};

function saysSo(run, target, flags, where) {
  const { captions, rounds } = data.runs[run];
  if ((where === "all" || where === "captions") && flags[captions[target]]) return true;
  if (where === "captions") return false;
  const said = rounds[target];
  const step = where === "all" ? 1 : 2;
  for (let place = where === "answers" ? 1 : 0; place < said.length; place += step) {
    if (flags[said[place]]) return true;
  }
  return false;
}

/**
 * The targets that match, in order. One and the same run must meet all that is asked of a dialog.
 * query: { runs (shown), scope (one of them, or -1), label, text, where, repeats, change, pictured, sort }.
 */
function search(query) {
  const within = query.scope < 0 ? query.runs : [query.scope];
  const flags = query.text ? textsWith(query.text) : null;
  const meets = CHANGES[query.change];
  const asked = within.map((run) => ({ run, ranks: summary(run, query.label) }));
  const shown = query.runs.map((run) => summary(run, query.label)).filter(Boolean);
  const matching = [];
  for (let target = 0; target < TARGETS; target++) {
    if (query.pictured && !pictured.has(target)) continue;
    if (query.change === "some" && !foundInSome(shown, target)) continue;
    const matches = asked.some(
      ({ run, ranks }) =>
        repeats[run][target] >= query.repeats &&
        (!meets || (ranks && meets(ranks, target))) &&
        (!flags || saysSo(run, target, flags, query.where)),
    );
    if (matches) matching.push(target);
  }
  return sorted(matching, query, within, shown);
}

function foundInSome(shown, target) {
  const many = shown.filter((ranks) => ranks.best[target] <= data.found).length;
  return many > 0 && many < shown.length;
}

function sorted(matching, query, within, shown) {
  const weight = weights(query, within, shown);
  if (!weight) return matching;
  const known = new Float64Array(TARGETS);
  for (const target of matching) known[target] = weight(target);
  return matching.sort((one, other) => known[other] - known[one] || one - other);
}

/** What a target is sorted by, largest first; null for the order of the file. Ranks differ by factors. */
function weights(query, within, shown) {
  const ranked = within.map((run) => summary(run, query.label)).filter(Boolean);
  const factor = (one, other) => Math.max(one / other, other / one);
  return {
    file: null,
    repeats: (target) => Math.max(...within.map((run) => repeats[run][target])),
    change: (target) => Math.max(0, ...ranked.map(({ first, last }) => factor(first[target], last[target]))),
    apart: (target) => {
      const last = shown.map((ranks) => ranks.last[target]);
      return Math.max(...last) / Math.min(...last);
    },
  }[query.sort];
}
