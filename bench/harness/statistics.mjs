// Medians with least and most, and ratios pair by pair.

/** Of numbers, at least one. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median, least and most; null where there is nothing. */
export function spread(numbers) {
  if (numbers.length === 0) return null;
  return { median: median(numbers), least: Math.min(...numbers), most: Math.max(...numbers) };
}

/** What a metric came to in the rounds that did not fail. */
export function values(rounds, metric) {
  return rounds.flatMap(({ values: found }) => (Number.isFinite(found?.[metric]) ? found[metric] : []));
}

/** One peer's metric over the other's, of the same round each time: the spread of these. */
export function ratio(one, other, metric) {
  const pairs = one.flatMap((round, index) => {
    const above = round.values?.[metric];
    const below = other[index]?.values?.[metric];
    return Number.isFinite(above) && below > 0 ? above / below : [];
  });
  return spread(pairs);
}
