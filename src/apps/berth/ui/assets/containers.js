// The list of containers.
import {actions, act, underWay} from "./actions.js";
import {fill, h, setText, webAddress} from "./dom.js";
import {engine, historyLength, nameOf, on, watchUsage} from "./engine.js";
import {bytes, date, percent, plural} from "./format.js";
import {iconButton} from "./icons.js";
import {bindKeys} from "./keys.js";

const project = (container) => container.Labels?.["com.docker.compose.project"];
const health = (container) => /\((healthy|unhealthy|health: starting)\)/.exec(container.Status ?? "")?.[1];

// One of: running, healthy, unhealthy, starting, paused, exited, failed, created, dead
export function condition(container) {
  if (container.State === "running") {
    const word = health(container);
    return word === "health: starting" ? "starting" : word ?? "running";
  }
  const code = /^Exited \((\d+)\)/.exec(container.Status ?? "")?.[1];
  return code !== undefined && code !== "0" ? "failed" : container.State;
}

// [{text, href}]: each published port once, whatever the number of addresses.
export function portsOf(container) {
  const seen = new Map();
  for (const port of container.Ports ?? []) {
    const inner = `${port.PrivatePort}${port.Type === "tcp" ? "" : `/${port.Type}`}`;
    const text = port.PublicPort ? `${port.PublicPort}→${inner}` : inner;
    const anywhere = ["0.0.0.0", "::", "", undefined].includes(port.IP);
    const host = anywhere ? location.hostname : port.IP.includes(":") ? `[${port.IP}]` : port.IP;
    const href = port.PublicPort && port.Type === "tcp" ? webAddress(host, port.PublicPort) : null;
    if (!seen.has(text)) seen.set(text, {text, href, published: Boolean(port.PublicPort)});
  }
  return [...seen.values()].sort((a, b) => b.published - a.published);
}

export function portLinks(container, limit = Infinity) {
  const ports = portsOf(container);
  const shown = ports.slice(0, limit).map(({text, href}) => href
    ? h("a", {class: "port", href, target: "_blank", rel: "noopener noreferrer"}, text) : h("span", {class: "port inner"}, text));
  if (ports.length > limit) shown.push(h("span", {class: "port inner", title: ports.slice(limit).map((port) => port.text).join(", ")}, `+${ports.length - limit}`));
  return shown;
}

function spark(history) {
  const top = Math.max(5, ...history);
  const step = 60 / (historyLength - 1);
  const left = 60 - (history.length - 1) * step;
  return history.map((value, i) => `${i ? "L" : "M"}${(left + i * step).toFixed(1)} ${(17 - (value / top) * 15).toFixed(1)}`).join("");
}

const shown = {all: () => true, running: (c) => c.State === "running" || c.State === "paused" || c.State === "restarting",
  stopped: (c) => c.State === "exited" || c.State === "created" || c.State === "dead"};
const memoryOf = (container) => engine.usage.get(container.Id)?.memory ?? -1;
const cpuOf = (container) => engine.usage.get(container.Id)?.cpu || -1;
const orders = {
  name: (a, b) => nameOf(a).localeCompare(nameOf(b), undefined, {numeric: true}),
  state: (a, b) => shown.stopped(a) - shown.stopped(b) || b.Created - a.Created,
  cpu: (a, b) => cpuOf(b) - cpuOf(a),
  memory: (a, b) => memoryOf(b) - memoryOf(a),
};
// Kept while other views are looked at.
const choice = {shown: "all", order: "state"};

class Row {
  constructor(container) {
    this.container = container;
    this.dot = h("span", {class: "dot", "aria-hidden": "true"});
    this.link = h("a", {class: "name", href: `#/containers/${container.Id}/overview`});
    this.image = h("span", {class: "sub"});
    this.project = h("span", {class: "chip"});
    this.status = h("span", {});
    this.cpu = h("span", {class: "number"});
    this.line = h("path", {class: "spark"});
    this.memory = h("span", {class: "number"});
    this.share = h("span", {class: "share"});
    this.ports = h("td", {class: "ports", "data-label": "Ports"});
    this.buttons = h("td", {class: "actions"});
    this.element = h("tr", {"data-id": container.Id},
      h("td", {class: "who"}, this.dot, h("div", {}, h("div", {class: "title"}, this.link, this.project), this.image)),
      h("td", {class: "state", "data-label": "State"}, this.status),
      h("td", {class: "cpu", "data-label": "CPU"}, this.cpu, h("svg", {viewBox: "0 0 60 18", class: "sparkline", "aria-hidden": "true"}, this.line)),
      h("td", {class: "memory", "data-label": "Memory"}, this.memory, h("span", {class: "meter", "aria-hidden": "true"}, this.share)),
      this.ports, this.buttons);
  }

  update(container) {
    this.container = container;
    const name = nameOf(container);
    const busy = underWay.get(container.Id);
    const word = busy ? "busy" : condition(container);
    setText(this.link, name);
    setText(this.image, container.Image);
    this.image.title = container.Image;
    this.project.hidden = !project(container);
    setText(this.project, project(container) ?? "");
    setText(this.status, busy ?? container.Status ?? container.State);
    this.status.title = `Created ${date(container.Created)}`;
    this.element.className = word;
    const ports = JSON.stringify(portsOf(container));
    if (this.portsShown !== ports) fill(this.ports, portLinks(container, 3));
    this.portsShown = ports;
    const verbs = ["start", "unpause", "stop", "restart"].filter((verb) => actions[verb].when(container.State));
    const face = JSON.stringify([verbs, container.State, name, Boolean(busy)]);
    if (this.face !== face) this.showButtons(verbs, name, busy);
    this.face = face;
    this.updateUsage();
  }

  showButtons(verbs, name, busy) {
    const focused = this.buttons.contains(document.activeElement) ? document.activeElement.dataset.verb : null;
    const button = (verb, shape, label, run) => iconButton(shape, `${label} ${name}`, run, {"data-verb": verb, disabled: Boolean(busy)});
    const go = (tab) => () => { location.hash = `#/containers/${this.container.Id}/${tab}`; };
    fill(this.buttons,
      verbs.map((verb) => button(verb, actions[verb].icon ?? verb, actions[verb].label, () => act(verb, this.container, this.changed))),
      button("logs", "logs", "Logs of", go("logs")),
      this.container.State === "running" && button("terminal", "terminal", "Terminal in", go("terminal")),
      button("remove", "remove", "Remove", () => act("remove", this.container, this.changed)));
    if (focused) (this.buttons.querySelector(`[data-verb="${focused}"]`) ?? this.link).focus();
  }

  updateUsage() {
    const usage = engine.usage.get(this.container.Id);
    const live = usage && this.container.State === "running";
    setText(this.cpu, live ? percent(usage.cpu) : "");
    this.line.setAttribute("d", live ? spark(usage.history) : "");
    setText(this.memory, live ? bytes(usage.memory) : "");
    this.share.style.width = live ? `${Math.min(100, (usage.memory / usage.limit) * 100)}%` : "0";
    this.share.parentNode.title = live ? `of ${bytes(usage.limit)}` : "";
    this.share.parentNode.hidden = !live;
  }
}

function matches(container, words) {
  const text = [nameOf(container), container.Image, container.Id, container.Status, condition(container),
    ...Object.entries(container.Labels ?? {}).map(([key, value]) => `${key}=${value}`),
    ...portsOf(container).map((port) => port.text)].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

// Puts `nodes` into `parent` in this order, moving only what is out of place: focus stays where it is.
function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, i) => {
    if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null);
  });
}

export function show(main, {search}) {
  const rows = new Map();
  const body = h("tbody", {});
  const empty = h("div", {class: "empty", role: "status"});
  const totals = h("p", {class: "totals"});
  const switches = Object.keys(shown).map((name) => h("button", {type: "button", onclick: () => {
    choice.shown = name;
    update();
  }}, name[0].toUpperCase() + name.slice(1), h("span", {class: "count"})));
  const heads = [["name", "Name"], ["state", "State"], ["cpu", "CPU"], ["memory", "Memory"]].map(([order, label]) =>
    h("th", {scope: "col", class: order}, h("button", {type: "button", onclick: () => {
      choice.order = order;
      update();
    }}, label)));
  const table = h("table", {class: "list containers"}, h("caption", {class: "sr"}, "Containers"),
    h("thead", {}, h("tr", {}, heads, h("th", {scope: "col"}, "Ports"), h("th", {scope: "col"}, h("span", {class: "sr"}, "Actions")))), body);
  fill(main, h("div", {class: "head"}, h("h1", {}, "Containers"), totals,
    h("div", {class: "switch", role: "group", "aria-label": "Which containers"}, switches)), table, empty);

  function update() {
    const all = engine.containers;
    if (!all) return fill(empty, h("p", {class: "loading"}, "Loading…"));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter((container) => shown[choice.shown](container) && matches(container, words))
      .sort((a, b) => orders[choice.order](a, b) || orders.name(a, b));
    Object.keys(shown).forEach((name, i) => {
      setText(switches[i].lastChild, String(all.filter(shown[name]).length));
      switches[i].setAttribute("aria-pressed", String(choice.shown === name));
    });
    heads.forEach((head, i) => {
      const sorted = choice.order === ["name", "state", "cpu", "memory"][i];
      if (sorted) head.setAttribute("aria-sort", i < 2 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    for (const container of found) {
      if (!rows.has(container.Id)) {
        const row = new Row(container);
        row.changed = update;
        rows.set(container.Id, row);
      }
      rows.get(container.Id).update(container);
    }
    const ids = new Set(all.map((container) => container.Id));
    for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
    arrange(body, found.map((container) => rows.get(container.Id).element));
    table.hidden = found.length === 0;
    explainEmptiness(all, found, words);
    updateTotals();
  }

  function explainEmptiness(all, found, words) {
    empty.hidden = found.length > 0;
    if (found.length > 0) return;
    if (all.length === 0) {
      fill(empty, h("h2", {}, "No containers yet"), h("p", {}, "Start one, and it appears here:"),
        h("pre", {}, "berth run -d --name web -p 8080:80 IMAGE"));
    } else {
      const what = words.length ? `matches “${search.value.trim()}”` : `is ${choice.shown}`;
      fill(empty, h("h2", {}, `None of ${plural(all.length, "container")} ${what}`),
        h("button", {type: "button", onclick: () => {
          search.value = "";
          choice.shown = "all";
          update();
        }}, "Show all"));
    }
  }

  function updateTotals() {
    const cpu = [...engine.usage.values()].reduce((sum, usage) => sum + (usage.cpu || 0), 0);
    const memory = [...engine.usage.values()].reduce((sum, usage) => sum + (usage.memory || 0), 0);
    setText(totals, engine.usage.size ? `${percent(cpu)} CPU · ${bytes(memory)} memory` : "");
  }

  function updateUsage() {
    if (choice.order === "cpu" || choice.order === "memory") return update();
    for (const row of rows.values()) row.updateUsage();
    updateTotals();
  }

  // Keys mean the container whose row has the focus.
  const current = () => rows.get(document.activeElement?.closest?.("tr[data-id]")?.dataset.id);
  const step = (by) => () => {
    const links = [...body.querySelectorAll("a.name")];
    const at = links.indexOf(current()?.link);
    links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
  };
  const visit = (tab) => () => {
    const row = current();
    if (row) location.hash = `#/containers/${row.container.Id}/${tab}`;
  };
  const perform = (...verbs) => () => {
    const row = current();
    const verb = row && verbs.find((name) => actions[name].when(row.container.State));
    if (verb) act(verb, row.container, update);
  };
  const unbind = bindKeys("Containers", [
    ["j", "Next container", step(1)], ["k", "Previous container", step(-1)],
    ["ArrowDown", null, step(1)], ["ArrowUp", null, step(-1)],
    ["Enter", "Open it", null],
    ["s", "Start or stop it", perform("start", "stop")], ["r", "Restart it", perform("restart")],
    ["p", "Pause or resume it", perform("pause", "unpause")], ["x", "Remove it", perform("remove")],
    ["l", "Its logs", visit("logs")], ["t", "A terminal in it", visit("terminal")], ["c", "Its charts", visit("stats")],
  ]);
  const offs = [on("containers", update), watchUsage(updateUsage), unbind];
  search.oninput = update;
  update();
  return () => {
    search.oninput = null;
    for (const off of offs) off();
  };
}
