/** Formats of probabilities and contributions. */

/** Format a probability as a percentage, which never rounds across the threshold. */
export function percentOf(probability, threshold = 0) {
  if (probability > 0 && probability < 0.001) return "< 0.1 %";
  if (probability < 1 && probability > 0.999) return "> 99.9 %";
  const rounded = Math.round(probability * 1000);
  const crossed = probability < threshold && rounded >= threshold * 1000;
  return `${((crossed ? Math.floor(probability * 1000) : rounded) / 10).toFixed(1)} %`;
}

/** Format a threshold as a percentage, without rounding. */
export function thresholdOf(threshold) {
  return `${Number((threshold * 100).toFixed(6))} %`;
}

/** Format a contribution in percentage points, with its sign. */
export function pointsOf(contribution) {
  const text = Math.abs(contribution * 100).toFixed(1);
  if (Number(text) === 0) return text;
  return (contribution > 0 ? "+" : "−") + text;
}

/**
 * The waterfall of contributions, each {probability, …}: each with {from, to}, the way from the
 * base, or from what those before it add up to.
 */
export function waterfallOf(base, contributions) {
  let sum = base;
  return contributions.map((contribution) => {
    const from = sum;
    sum += contribution.probability;
    return { ...contribution, from, to: sum };
  });
}
