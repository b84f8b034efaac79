// Numbers and times as people read them. Pure.
const sizes = ["B", "kB", "MB", "GB", "TB", "PB"];

// 1536000 -> "1.54 MB"
export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  let unit = 0;
  while (count >= 1000 && unit < sizes.length - 1) {
    count /= 1000;
    unit++;
  }
  const digits = unit === 0 || count >= 100 ? 0 : count >= 10 ? 1 : 2;
  return `${count.toFixed(digits)} ${sizes[unit]}`;
}

export const rate = (count) => `${bytes(count)}/s`;

export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  return `${value.toFixed(value >= 100 ? 0 : 1)} %`;
}

const spans = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

// Seconds since 1970 -> "3 hours ago"
export function age(seconds, now = Date.now() / 1000) {
  const passed = Math.max(0, now - seconds);
  for (const [name, length] of spans) {
    const count = Math.floor(passed / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

// What the engine writes for "never" is the year 1.
export function moment(text) {
  const time = Date.parse(text);
  return Number.isFinite(time) && time > 0 ? time / 1000 : null;
}

export function date(seconds) {
  return new Date(seconds * 1000).toLocaleString();
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}

export const shortId = (id) => String(id).replace(/^sha256:/, "").slice(0, 12);

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

// As "berth stats" counts: caches that can be given up at any time are not in use.
export function memoryUsed(stats) {
  const memory = stats.memory_stats ?? {};
  const cache = memory.stats?.total_inactive_file ?? memory.stats?.inactive_file ?? 0;
  return Math.max(0, (memory.usage ?? 0) - cache);
}
