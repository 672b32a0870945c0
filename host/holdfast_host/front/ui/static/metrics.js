// What /metrics says, and what lies between two looks at it.

const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

/** Every series by its name: [{labels, value}]. */
export function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const parts = LINE.exec(line);
    if (!parts) continue;
    const labels = Object.fromEntries([...(parts[2] ?? "").matchAll(LABEL)].map(([, key, value]) => [key, value]));
    if (!found.has(parts[1])) found.set(parts[1], []);
    found.get(parts[1]).push({ labels, value: Number(parts[3]) });
  }
  return found;
}

export function sum(metrics, name, wanted = () => true) {
  return (metrics.get(name) ?? []).reduce((total, each) => (wanted(each.labels) ? total + each.value : total), 0);
}

/** The sums of a family by one label. */
export function by(metrics, name, label) {
  const sums = new Map();
  for (const { labels, value } of metrics.get(name) ?? []) sums.set(labels[label], (sums.get(labels[label]) ?? 0) + value);
  return sums;
}

/** What a counter has grown by; one that counts from its start again has grown by what it is. */
export function grown(before, now) {
  return now >= before ? now - before : now;
}

/** The value below which that part of what came between lies, from a histogram's buckets; null where nothing came. */
export function quantile(before, now, name, part) {
  const bounds = (metrics) => by(metrics, `${name}_bucket`, "le");
  const earlier = bounds(before);
  const steps = [...bounds(now)].map(([bound, value]) => [bound === "+Inf" ? Infinity : Number(bound), grown(earlier.get(bound) ?? 0, value)]);
  steps.sort((one, other) => one[0] - other[0]);
  const total = steps.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let [low, below] = [0, 0];
  for (const [bound, upTo] of steps) {
    if (upTo >= part * total) {
      if (bound === Infinity) return low;
      return upTo === below ? bound : low + (bound - low) * ((part * total - below) / (upTo - below));
    }
    [low, below] = [bound, upTo];
  }
  return low;
}
