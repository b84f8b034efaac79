// Live charts of one container: CPU, memory, network, block devices.
import {container as pathOf, jsonLines, stream} from "./api.js";
import {fill, h, setText} from "./dom.js";
import {bytes, memoryUsed, percent, plural, rate} from "./format.js";

const points = 120;
const width = 480;
const height = 120;

// A round number at or above value: 1, 2 or 5 times a power of ten.
function roof(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= value * 0.999);
}

class Chart {
  // series: [[name, style]]; write: number -> text; least: the smallest height of the axis
  constructor(title, series, write, least) {
    Object.assign(this, {title, series, write, least});
    this.values = series.map(() => []);
    this.areas = series.map(([, style]) => h("path", {class: `area ${style}`}));
    this.lines = series.map(([, style]) => h("path", {class: `stroke ${style}`}));
    this.now = series.map(() => h("span", {class: "now"}, "–"));
    this.top = h("span", {class: "top faint"});
    this.note = h("span", {class: "faint"});
    this.drawing = h("svg", {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": title},
      [0.25, 0.5, 0.75].map((part) => h("line", {class: "grid", x1: 0, x2: width, y1: height * part, y2: height * part})), this.areas, this.lines);
    this.element = h("section", {class: "card chart"}, h("h2", {}, title),
      h("p", {class: "values"}, series.map(([name, style], i) => h("span", {}, h("i", {class: `key ${style}`, "aria-hidden": "true"}), name && `${name} `, this.now[i])), this.note),
      h("div", {class: "plot"}, this.top, this.drawing));
  }

  add(values, note = "") {
    values.forEach((value, i) => {
      const list = this.values[i];
      list.push(value);
      if (list.length > points) list.shift();
      setText(this.now[i], this.write(value));
    });
    setText(this.note, note);
    const highest = Math.max(this.least, ...this.values.flat().filter(Number.isFinite));
    const top = roof(highest);
    setText(this.top, this.write(top));
    this.values.forEach((list, i) => {
      const x = (at) => (width * (points - list.length + at)) / (points - 1);
      const y = (value) => height - (Math.min(value, top) / top) * (height - 3) - 1;
      const path = list.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(value || 0).toFixed(1)}`).join("");
      this.lines[i].setAttribute("d", path);
      this.areas[i].setAttribute("d", `${path}L${width} ${height}L${x(0).toFixed(1)} ${height}Z`);
    });
    this.drawing.setAttribute("aria-label", `${this.title}: ${this.series.map(([name], i) => `${name} ${this.write(values[i])}`.trim()).join(", ")}, at most ${this.write(highest)} in the time shown`);
  }
}

const sum = (list, pick) => (list ?? []).reduce((total, entry) => total + pick(entry), 0);
const blockBytes = (stats, kind) => sum(stats.blkio_stats?.io_service_bytes_recursive, (entry) => entry.op?.toLowerCase() === kind ? entry.value : 0);
const networkBytes = (stats, direction) => sum(Object.values(stats.networks ?? {}), (network) => network[direction]);

function cpuPercent({cpu_stats: now, precpu_stats: then}) {
  const spent = now.cpu_usage.total_usage - (then.cpu_usage?.total_usage ?? 0);
  const passed = (now.system_cpu_usage ?? 0) - (then.system_cpu_usage ?? 0);
  return passed > 0 && then.system_cpu_usage ? (spent / passed) * (now.online_cpus || 1) * 100 : NaN;
}

export function show(panel, details) {
  const charts = {
    cpu: new Chart("CPU", [["", "a"]], percent, 10),
    memory: new Chart("Memory", [["", "b"]], bytes, 1e6),
    network: new Chart("Network", [["in", "a"], ["out", "c"]], rate, 1000),
    block: new Chart("Block devices", [["read", "a"], ["written", "c"]], rate, 1000),
  };
  const state = h("p", {class: "faint", role: "status"}, "Waiting for the first sample…");
  fill(panel, state, h("div", {class: "charts"}, Object.values(charts).map((chart) => chart.element)));

  let before = null;
  function take(stats) {
    const time = Date.parse(stats.read) / 1000;
    if (!(time > 0)) return setText(state, "It does not run: there is nothing to measure.");
    setText(state, `${plural(stats.pids_stats?.current ?? 0, "process", "processes")}; a sample each second`);
    const now = {time, values: [networkBytes(stats, "rx_bytes"), networkBytes(stats, "tx_bytes"), blockBytes(stats, "read"), blockBytes(stats, "write")]};
    const passed = before ? now.time - before.time : 0;
    const [received, sent, read, written] = now.values.map((value, i) => passed > 0 ? Math.max(0, value - before.values[i]) / passed : NaN);
    before = now;
    const cpu = cpuPercent(stats);
    const used = memoryUsed(stats);
    const limit = stats.memory_stats?.limit;
    if (Number.isFinite(cpu)) charts.cpu.add([cpu], `of ${(stats.cpu_stats.online_cpus || 1) * 100} %`);
    charts.memory.add([used], limit ? `of ${bytes(limit)}` : "");
    if (passed <= 0) return;
    charts.network.add([received, sent], stats.networks ? `${bytes(now.values[0])} in, ${bytes(now.values[1])} out since its start` : "no network of its own");
    charts.block.add([read, written], `${bytes(now.values[2])} read, ${bytes(now.values[3])} written since its start`);
  }

  let open = null;
  function connect() {
    before = null;
    open = stream(pathOf(details.Id, "/stats"), {stream: 1}, {
      onBytes: jsonLines(take),
      onEnd: (error) => {
        open = null;
        setText(state, error ? error.message : "It does not run: there is nothing to measure.");
      },
    });
  }
  if (details.State.Running) connect();
  else setText(state, "It does not run: there is nothing to measure.");
  const leave = () => open?.close();
  leave.update = ({State: now}) => {
    if (now.Running && !open) connect();
    if (!now.Running && open) {
      open.close();
      open = null;
      setText(state, "It does not run: there is nothing to measure.");
    }
  };
  return leave;
}
