// What the page knows of the engine: its objects, kept fresh by its events, and the use of CPU and memory.
import {call, jsonLines, stream} from "./api.js";

export const engine = {
  containers: null, images: null, networks: null, volumes: null,  // lists, or null before they came
  events: [],      // the newest first
  usage: new Map(),  // by container: {cpu, memory, limit, history}
  problem: null,   // why there is nothing new, or null
  version: null,
};

const maxEvents = 500;
const eventsBefore = 900;  // seconds of history that are asked for at first
const usageEvery = 2000;
export const historyLength = 40;

// Topics: the lists' names, "events", "usage", "state".
const listeners = new Map();
export function on(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(listener);
  return () => listeners.get(topic).delete(listener);
}
function tell(topic, detail) {
  for (const listener of listeners.get(topic) ?? []) listener(detail);
}

const sources = {
  containers: () => call("GET", "/containers/json", {query: {all: 1}}),
  images: () => call("GET", "/images/json"),
  networks: () => call("GET", "/networks"),
  volumes: async () => (await call("GET", "/volumes")).Volumes ?? [],
};

function report(problem) {
  if (engine.problem === problem) return;
  engine.problem = problem;
  tell("state");
}

async function load(kind) {
  try {
    engine[kind] = await sources[kind]();
    tell(kind);
  } catch (error) {
    if (error.status !== 401) report(error.message);
  }
}

// Events come in swarms; one list is asked for at most a few times a second.
const due = new Map();
export function refresh(kind, delay = 150) {
  if (due.has(kind)) return;
  due.set(kind, setTimeout(() => {
    due.delete(kind);
    load(kind);
  }, delay));
}

const affected = {container: ["containers"], image: ["images"], network: ["networks"], volume: ["volumes"]};
// Health checks and terminals run commands all the time: their coming and going changes no list.
const quiet = (event) => event.Type === "container" && /^exec_|^top|^resize|^attach/.test(event.Action);

function take(event) {
  engine.events.unshift(event);
  if (engine.events.length > maxEvents) engine.events.length = maxEvents;
  tell("events", event);
  if (quiet(event)) return;
  for (const kind of affected[event.Type] ?? []) refresh(kind);
}

let lastEvent = Math.floor(Date.now() / 1000) - eventsBefore;
let seen = new Set();
function watch(pause) {
  let healthy = false;
  const since = lastEvent;
  stream("/events", {since}, {
    onHead() {
      healthy = true;
      report(null);
      for (const kind of Object.keys(sources)) refresh(kind, 0);
      call("GET", "/version").then((version) => {
        engine.version = version;
        tell("state");
      }).catch(() => {});
    },
    onBytes: jsonLines((event) => {
      // After a break the last second is told again.
      const mark = `${event.timeNano}${event.Actor?.ID}${event.Action}`;
      if (seen.has(mark)) return;
      if (seen.size > 4 * maxEvents) seen = new Set();
      seen.add(mark);
      lastEvent = Math.max(lastEvent, event.time);
      take(event);
    }),
    async onEnd(error) {
      // A WebSocket that is refused does not say why; a request does.
      if (error?.status === 0) error = await call("GET", "/version").then(() => error, (reason) => reason);
      if (error?.status === 401) return;
      report(error?.message ?? "it has ended the connection");
      setTimeout(() => watch(healthy ? 500 : Math.min(pause * 2, 8000)), healthy ? 500 : pause);
    },
  });
}

const sample = /^(container_cpu_usage_seconds_total|container_memory_working_set_bytes|container_spec_memory_limit_bytes)\{id="([0-9a-f]{64})".*\} (\S+)$/;
let before = null;

function takeMetrics(text) {
  const now = performance.now() / 1000;
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = sample.exec(line);
    if (!match) continue;
    const entry = found.get(match[2]) ?? {};
    entry[match[1]] = Number(match[3]);
    found.set(match[2], entry);
  }
  const usage = new Map();
  for (const [id, entry] of found) {
    const old = before?.found.get(id)?.container_cpu_usage_seconds_total;
    const spent = entry.container_cpu_usage_seconds_total - (old ?? NaN);
    const cpu = spent >= 0 ? (spent / (now - before.now)) * 100 : NaN;
    const history = engine.usage.get(id)?.history ?? [];
    if (Number.isFinite(cpu)) history.push(cpu);
    if (history.length > historyLength) history.shift();
    usage.set(id, {cpu, memory: entry.container_memory_working_set_bytes, limit: entry.container_spec_memory_limit_bytes, history});
  }
  before = {now, found};
  engine.usage = usage;
  tell("usage");
}

let watchers = 0;
async function sampleUsage() {
  if (watchers > 0 && !document.hidden && !engine.problem) {
    try {
      takeMetrics(await call("GET", "/metrics"));
    } catch {
      // An engine without metrics: the columns stay empty.
    }
  }
  setTimeout(sampleUsage, watchers > 0 ? usageEvery : 250);
}

// Samples are taken as long as somebody looks.
export function watchUsage(listener) {
  watchers++;
  const off = on("usage", listener);
  return () => {
    watchers--;
    off();
  };
}

// "Up 5 minutes" grows without an event.
const clockEvery = 5000;

export function begin() {
  watch(1000);
  setInterval(() => document.hidden || engine.problem || refresh("containers"), clockEvery);
  sampleUsage();
}

// The container's name without docker's slash.
export const nameOf = (container) => (container.Names?.[0] ?? container.Name ?? container.Id).replace(/^\//, "");
export const findContainer = (id) => engine.containers?.find((container) => container.Id.startsWith(id));
