// One container: what it is, its logs, charts, a terminal in it, and everything the engine knows of it.
import {call, container as pathOf} from "./api.js";
import {actions, act, underWay} from "./actions.js";
import {fill, h, say, setText} from "./dom.js";
import {condition, portLinks} from "./containers.js";
import {findContainer, nameOf, on} from "./engine.js";
import {age, bytes, date, moment, shortId} from "./format.js";
import {icon} from "./icons.js";
import {bindKeys} from "./keys.js";
import * as charts from "./charts.js";
import * as logs from "./logs.js";
import * as terminal from "./terminal.js";

const tabs = {
  overview: {title: "Overview", key: "o", show: overview},
  logs: {title: "Logs", key: "l", show: logs.show},
  stats: {title: "Charts", key: "c", show: charts.show},
  terminal: {title: "Terminal", key: "t", show: terminal.show},
  inspect: {title: "Inspect", key: "i", show: inspect},
};

const never = (text) => text ?? h("span", {class: "faint"}, "none");
const facts = (pairs) => h("dl", {class: "facts"}, pairs.filter(([, value]) => value !== null && value !== "").map(([name, value]) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, value))));
const card = (title, ...content) => h("section", {class: "card"}, h("h2", {}, title), content);

function when(text) {
  const time = moment(text);
  return time ? h("time", {title: date(time)}, age(time)) : null;
}

const quoted = (words) => (words ?? []).map((word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`).join(" ");

function stateText(state) {
  if (state.Status !== "exited") return state.Status;
  return `exited with ${state.ExitCode}${state.OOMKilled ? ", out of memory" : ""}${state.Error ? `: ${state.Error}` : ""}`;
}

function healthOf(state) {
  if (!state.Health) return null;
  const last = state.Health.Log?.at(-1);
  return [state.Health.Status, last?.Output?.trim() && h("span", {class: "sub"}, last.Output.trim().slice(0, 300))];
}

function limits(host) {
  const words = [];
  if (host.Memory) words.push(`${bytes(host.Memory)} memory`);
  if (host.NanoCpus) words.push(`${host.NanoCpus / 1e9} CPUs`);
  if (host.CpuQuota > 0) words.push(`${host.CpuQuota / (host.CpuPeriod || 100000)} CPUs`);
  if (host.PidsLimit > 0) words.push(`${host.PidsLimit} processes`);
  return words.join(", ") || never();
}

function policy({Name, MaximumRetryCount} = {}) {
  if (!Name || Name === "no") return never();
  return MaximumRetryCount ? `${Name}, ${MaximumRetryCount} times at most` : Name;
}

function environment(variables) {
  const values = [];
  const table = facts(variables.map((variable) => {
    const at = variable.indexOf("=");
    const value = h("span", {class: "secret"}, "••••••");
    values.push([value, variable.slice(at + 1)]);
    return [variable.slice(0, at), value];
  }));
  const button = h("button", {type: "button", "aria-pressed": "false", onclick: () => {
    const shown = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!shown));
    setText(button, shown ? "Show values" : "Hide values");
    for (const [node, text] of values) setText(node, shown ? "••••••" : text);
  }}, "Show values");
  return [button, table];
}

function overview(panel, details, summary) {
  const {Config: config, HostConfig: host, State: state} = details;
  const networks = Object.entries(details.NetworkSettings?.Networks ?? {});
  const mounts = details.Mounts ?? [];
  const labels = Object.entries(config.Labels ?? {});
  const ports = summary ? portLinks(summary) : [];
  fill(panel, h("div", {class: "cards"},
    card("Process", facts([
      ["State", stateText(state)], ["Health", healthOf(state)], ["Started", when(state.StartedAt)],
      ["Ended", state.Running ? null : when(state.FinishedAt)], ["Process id", state.Pid ? String(state.Pid) : null],
      ["Command", h("code", {}, quoted([details.Path, ...(details.Args ?? [])]))], ["Folder", config.WorkingDir || "/"],
      ["User", config.User || "root"], ["Restarts", policy(host.RestartPolicy)], ["Limits", limits(host)],
    ])),
    card("Container", facts([
      ["Image", config.Image], ["Id", h("code", {title: details.Id}, shortId(details.Id))], ["Created", when(details.Created)],
      ["Platform", details.Platform], ["Log driver", host.LogConfig?.Type], ["Privileged", host.Privileged ? "yes" : null],
    ])),
    card("Network", facts([
      ["Ports", ports.length ? h("span", {class: "ports"}, ports) : never()],
      ...networks.map(([name, network]) => [name, [network.IPAddress, network.GlobalIPv6Address].filter(Boolean).join(", ") || never()]),
    ])),
    card("Mounts", mounts.length ? facts(mounts.map((mount) => [mount.Destination,
      [`${mount.Type} ${mount.Name ?? mount.Source ?? ""}`, !mount.RW && h("span", {class: "chip"}, "read-only")]])) : never()),
    card("Environment", config.Env?.length ? environment(config.Env) : never()),
    card("Labels", labels.length ? facts(labels) : never())));
}

function inspect(panel, details) {
  const text = JSON.stringify(details, null, 2);
  fill(panel, h("div", {class: "toolbar"}, h("button", {type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("The browser does not let the page copy", "error");
    }
  }}, "Copy")), h("pre", {class: "raw", tabindex: "0", "aria-label": "Inspect"}, text));
}

export function show(main, tools, id, wanted) {
  const tab = Object.hasOwn(tabs, wanted) ? wanted : "overview";
  let details = null;
  let leave = null;
  let gone = false;
  let shown = "";
  const title = h("h1", {});
  const dot = h("span", {class: "dot", "aria-hidden": "true"});
  const status = h("span", {class: "status", role: "status"});
  const buttons = h("div", {class: "buttons"});
  const panel = h("div", {class: "panel", role: "tabpanel", "aria-labelledby": `tab-${tab}`, id: "panel"}, h("p", {class: "loading"}, "Loading…"));
  const strip = Object.entries(tabs).map(([name, {title: text}]) =>
    h("a", {role: "tab", id: `tab-${name}`, href: `#/containers/${encodeURIComponent(id)}/${name}`, "aria-selected": String(name === tab),
      tabindex: name === tab ? "0" : "-1", "aria-controls": "panel"}, text));
  const tablist = h("div", {class: "tabs", role: "tablist", "aria-label": "About this container", onkeydown: (event) => {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const at = strip.indexOf(document.activeElement);
    if (!by || at < 0) return;
    event.preventDefault();
    strip[(at + by + strip.length) % strip.length].focus();
  }}, strip);
  const head = h("div", {class: "detail-head"},
    h("a", {class: "icon back", href: "#/containers", "aria-label": "All containers", title: "All containers (Esc)"}, icon("back")),
    h("div", {class: "who"}, dot, h("div", {}, title, status)), buttons);
  fill(main, head, tablist, panel);

  const subject = () => details && {Id: details.Id, Names: [details.Name], State: details.State.Status};
  const perform = (verb) => act(verb, subject(), updateHead);

  function updateHead() {
    const summary = findContainer(details.Id);
    const busy = underWay.get(details.Id);
    setText(title, nameOf(details));
    document.title = `${nameOf(details)} · berth`;
    setText(status, busy ?? summary?.Status ?? stateText(details.State));
    head.className = `detail-head ${busy ? "busy" : summary ? condition(summary) : details.State.Status}`;
    const verbs = Object.keys(actions).filter((verb) => actions[verb].when(details.State.Status));
    const face = `${verbs} ${busy}`;
    if (buttons.dataset.face === face) return;
    buttons.dataset.face = face;
    const focused = buttons.contains(document.activeElement) ? document.activeElement.textContent : null;
    fill(buttons, verbs.map((verb) => h("button", {type: "button", class: actions[verb].dangerous ? "danger quiet" : "", disabled: Boolean(busy),
      title: `${actions[verb].label} (${actions[verb].key})`, onclick: () => perform(verb)}, icon(actions[verb].icon ?? verb), actions[verb].label)));
    if (focused) [...buttons.children].find((button) => button.textContent === focused)?.focus();
  }

  async function load() {
    try {
      details = await call("GET", pathOf(id, "/json"));
    } catch (error) {
      if (gone || error.status === 401) return;
      if (error.status !== 404) return say(error.message, "error");
      leave?.();
      leave = null;
      gone = true;
      return fill(main, h("div", {class: "empty"}, h("h1", {}, "This container is not there"),
        h("p", {}, "It may have been removed in the meantime."), h("a", {class: "button", href: "#/containers"}, "All containers")));
    }
    if (gone) return;
    updateHead();
    // Logs, charts and terminals live on; the rest is shown anew.
    if (leave?.update) leave.update(details);
    else if (tab === "overview" || tab === "inspect" || !leave) {
      const text = JSON.stringify([details, findContainer(details.Id)?.Ports]);
      if (shown === text) return;
      shown = text;
      leave = tabs[tab].show(panel, details, findContainer(details.Id), tools) ?? (() => {});
    }
  }

  const unbind = bindKeys("This container", [
    ...Object.entries(tabs).map(([name, {title: text, key}]) => [key, text, () => { location.hash = `#/containers/${id}/${name}`; }]),
    ["s", "Start or stop it", () => details && perform(actions.start.when(details.State.Status) ? "start" : "stop")],
    ["r", "Restart it", () => details && perform("restart")],
    ["p", "Pause or resume it", () => details && perform(actions.pause.when(details.State.Status) ? "pause" : "unpause")],
    ["k", "Kill it", () => details && perform("kill")],
    ["x", "Remove it", () => details && perform("remove")],
  ]);
  const off = on("containers", load);
  load();
  return () => {
    gone = true;
    off();
    unbind();
    leave?.();
    tools.search.oninput = null;
  };
}
