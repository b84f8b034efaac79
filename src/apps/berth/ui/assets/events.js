// What has happened, the newest first.
import {fill, h, setText} from "./dom.js";
import {engine, on} from "./engine.js";
import {clock, date, plural, shortId} from "./format.js";

const tellTale = {die: "bad", oom: "bad", kill: "bad", destroy: "faint", start: "good", "health_status: unhealthy": "bad", "health_status: healthy": "good"};

function subject(event) {
  const attributes = event.Actor?.Attributes ?? {};
  const text = attributes.name ?? shortId(event.Actor?.ID ?? "");
  if (event.Type === "container" && event.Action !== "destroy" && event.Actor?.ID) return h("a", {href: `#/containers/${event.Actor.ID}/overview`}, text);
  return text;
}

function details(event) {
  return Object.entries(event.Actor?.Attributes ?? {}).filter(([key]) => key !== "name" && !key.startsWith("com.docker."))
    .map(([key, value]) => `${key}=${/^(sha256:)?[0-9a-f]{64}$/.test(value) ? shortId(value) : value}`).join("  ");
}

function row(event) {
  return h("tr", {},
    h("td", {class: "time", "data-label": "Time"}, h("time", {title: date(event.time)}, clock(event.time))),
    h("td", {"data-label": "Type"}, event.Type),
    h("td", {"data-label": "Action", class: tellTale[event.Action] ?? ""}, event.Action),
    h("td", {class: "who", "data-label": "Name"}, subject(event)),
    h("td", {class: "details sub"}, details(event)));
}

// Health checks run commands all the time, and would push everything else out of sight.
const settings = {commands: false};
const isCommand = (event) => event.Type === "container" && event.Action.startsWith("exec_");

export function show(main, {search}) {
  const commands = h("input", {type: "checkbox", onchange: () => {
    settings.commands = commands.checked;
    update();
  }});
  commands.checked = settings.commands;
  const body = h("tbody", {});
  const table = h("table", {class: "list events"}, h("caption", {class: "sr"}, "Events, the newest first"),
    h("thead", {}, h("tr", {}, ["Time", "Type", "Action", "Name", "Details"].map((text) => h("th", {scope: "col"}, text)))), body);
  const empty = h("div", {class: "empty", role: "status"});
  const summary = h("p", {class: "totals"});
  fill(main, h("div", {class: "head"}, h("h1", {}, "Events"), summary, h("label", {class: "check right"}, commands, "Commands in containers too")), table, empty);
  const matches = (event) => {
    if (isCommand(event) && !settings.commands) return false;
    const text = [event.Type, event.Action, event.Actor?.ID, ...Object.values(event.Actor?.Attributes ?? {})].join(" ").toLowerCase();
    return search.value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  };
  const limit = 300;

  function state() {
    const found = body.children.length;
    table.hidden = found === 0;
    empty.hidden = found > 0;
    setText(summary, found ? `the last ${plural(found, "event")}, as they come` : "");
    if (found === 0) fill(empty, h("h2", {}, search.value.trim() ? `Nothing matches “${search.value.trim()}”` : "Nothing has happened yet"),
      h("p", {}, "What starts, stops, is built or removed appears here at once."));
  }
  function update() {
    fill(body, engine.events.filter(matches).slice(0, limit).map(row));
    state();
  }
  const off = on("events", (event) => {
    if (!matches(event)) return;
    body.prepend(row(event));
    if (body.children.length > limit) body.lastChild.remove();
    state();
  });
  search.oninput = update;
  update();
  return () => {
    search.oninput = null;
    off();
  };
}
