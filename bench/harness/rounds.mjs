// The loop that all parts have in common: the peers in turn, round after round.

import { ratio, spread, values } from './statistics.mjs';

const PATIENCE = 2; // failures in a row after which a peer is not tried again in the same case

/** Each round begins with another peer, so that none is always the one after the slowest. */
const rotated = (list, by) => list.map((_, index) => list[(index + by) % list.length]);

/** Runs one case: each peer with the outcome of every round, { values } or { failed }. */
async function runCase(part, one, peers, context) {
  const runners = peers.map((peer) => ({ peer, tunnel: null, rounds: [], inRow: 0 }));
  const close = async (runner) => {
    const { tunnel } = runner;
    runner.tunnel = null;
    await tunnel?.stop();
  };
  const measure = async (runner) => {
    try {
      const { peer } = runner;
      runner.tunnel ??= { weight: peer.weight, losesEnds: peer.losesEnds, ...(await part.open(peer, one, context)) };
      return { values: await part.measure(runner.tunnel, one, context) };
    } catch (error) {
      await close(runner);
      return { failed: error.message.split('\n')[0].slice(0, 200) };
    } finally {
      if (part.fresh) await close(runner);
    }
  };
  try {
    if (context.warmup && !part.cold) {
      for (const runner of runners) runner.inRow = (await measure(runner)).failed ? 1 : 0;
    }
    for (let round = 0; round < context.rounds; round++) {
      for (const runner of rotated(runners, round)) {
        if (runner.inRow === PATIENCE) continue;
        const outcome = await measure(runner);
        runner.rounds[round] = outcome;
        runner.inRow = outcome.failed ? runner.inRow + 1 : 0;
      }
    }
  } finally {
    for (const runner of runners) await close(runner);
  }
  return runners.map(({ peer, rounds }) => ({ peer, rounds }));
}

/** What the rounds of a case say: of each peer and metric the spread, and that of ours over its. */
function summary(metrics, results) {
  const ours = results.find(({ peer }) => peer.name === 'ours')?.rounds;
  const entries = results.map(({ peer: { name, label }, rounds: outcomes }) => {
    const spreads = {};
    const ratios = {};
    for (const metric of Object.keys(metrics)) {
      spreads[metric] = spread(values(outcomes, metric));
      if (name !== 'ours' && ours) ratios[metric] = ratio(ours, outcomes, metric);
    }
    const failures = outcomes.filter(({ failed }) => failed);
    return [
      name,
      {
        label,
        spreads,
        ratios,
        tried: outcomes.length,
        failed: failures.length,
        reason: failures[0]?.failed ?? null,
        rounds: outcomes,
      },
    ];
  });
  return Object.fromEntries(entries);
}

/**
 * Runs a part: { name, title, metrics, cases: [{ name, peers: { name: summary } }] }.
 * @param context what parts measure with, and `rounds`, `warmup`, `peers`
 */
export async function runPart(part, context, tell) {
  const cases = [];
  for (const one of await part.cases(context)) {
    const peers = one.peers.flatMap((peer) => (typeof peer === 'string' ? (context.peers.get(peer) ?? []) : peer));
    if (peers.length === 0) continue;
    const began = performance.now();
    const results = await runCase(part, one, peers, context);
    cases.push({ name: one.name, peers: summary(part.metrics, results) });
    tell(`${part.name}: ${one.name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
  const { name, title, about, metrics, charts } = part;
  return { name, title, about, metrics, charts, cases };
}
