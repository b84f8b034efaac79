// What can be done with a container, in which state, and doing it.
import {call, container as pathOf} from "./api.js";
import {ask, h, say} from "./dom.js";
import {nameOf, refresh} from "./engine.js";

const running = (state) => state === "running" || state === "restarting";

// key: the shortcut; done: what is said afterwards.
export const actions = {
  start: {label: "Start", key: "s", when: (state) => state === "created" || state === "exited", done: "started"},
  stop: {label: "Stop", key: "s", when: (state) => running(state), done: "stopped"},
  unpause: {label: "Resume", key: "p", icon: "start", when: (state) => state === "paused", done: "goes on"},
  restart: {label: "Restart", key: "r", when: (state) => running(state) || state === "exited", done: "restarted"},
  pause: {label: "Pause", key: "p", when: (state) => state === "running", done: "paused"},
  kill: {label: "Kill", key: "k", when: (state) => running(state) || state === "paused", done: "killed", dangerous: true,
    title: (name) => `Kill ${name}?`, text: "Its processes end at once, without a chance to finish their work."},
  remove: {label: "Remove", key: "x", when: (state) => state !== "removing", done: "removed", dangerous: true,
    title: (name) => `Remove ${name}?`, text: "Its files go with it. Named volumes stay."},
};

// Verbs under way, by container: shown instead of the state.
export const underWay = new Map();
const words = {start: "starting…", stop: "stopping…", restart: "restarting…", kill: "killing…", remove: "removing…",
  pause: "pausing…", unpause: "resuming…"};

// `container` has Id, Names or Name, and State.
export async function act(verb, container, changed = () => {}) {
  const action = actions[verb];
  const name = nameOf(container);
  const state = container.State?.Status ?? container.State;
  if (underWay.has(container.Id)) return say(`${name}: ${underWay.get(container.Id)}`);
  if (!action.when(state)) return;
  const volumes = h("input", {type: "checkbox"});
  if (action.title) {
    const extra = verb === "remove" && h("label", {class: "check"}, volumes, "Remove its anonymous volumes too");
    const text = verb === "remove" && (running(state) || state === "paused") ? `It runs and is killed first. ${action.text}` : action.text;
    if (!(await ask({title: action.title(name), text, confirm: action.label, dangerous: action.dangerous, extra}))) return;
  }
  underWay.set(container.Id, words[verb]);
  changed();
  try {
    if (verb === "remove") await call("DELETE", pathOf(container.Id), {query: {force: 1, v: volumes.checked ? 1 : 0}});
    else await call("POST", pathOf(container.Id, `/${verb}`));
    say(`${name} ${action.done}`);
  } catch (error) {
    say(error.message, "error");
  } finally {
    underWay.delete(container.Id);
    refresh("containers", 0);
    changed();
  }
}
