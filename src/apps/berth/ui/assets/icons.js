// Icons, drawn on a field of 24 by 24. They decorate: the names stand in labels.
import {h} from "./dom.js";

const shapes = {
  start: "M8 5.5v13l10.5-6.5z",
  stop: "M6.5 6.5h11v11h-11z",
  restart: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  pause: "M8.5 6v12M15.5 6v12",
  kill: "M12 3.5 20.5 19h-17zM12 10v4M12 16.6v.2",
  remove: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7",
  terminal: "M4.5 6.5 10 12l-5.5 5.5M12 18h7.5",
  logs: "M5 6.5h14M5 12h14M5 17.5h9",
  stats: "M4 19V5M4 19h16M7.5 15l3.5-5 3 3 5-7",
  light: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4",
  dark: "M19.5 14.2A7.8 7.8 0 0 1 9.8 4.5a7.8 7.8 0 1 0 9.7 9.7z",
  auto: "M12 4a8 8 0 1 1 0 16zM12 4a8 8 0 1 0 0 16",
  help: "M9.2 9.2a2.9 2.9 0 1 1 4.3 2.6c-1 .6-1.5 1.1-1.5 2.3M12 17.3v.2",
  back: "M14.5 5.5 8 12l6.5 6.5",
  containers: "M4 8.5 12 4l8 4.5v7L12 20l-8-4.5zM4 8.5l8 4.5 8-4.5M12 13v7",
  images: "M4 8l8-4 8 4-8 4zM4 12l8 4 8-4M4 16l8 4 8-4",
  networks: "M12 4.5v5M5 19.5v-5h14v5M12 9.5v5M10 4.5h4",
  volumes: "M5 6.5c0-3 14-3 14 0v11c0 3-14 3-14 0zM5 6.5c0 3 14 3 14 0M5 12c0 3 14 3 14 0",
  events: "M13 3.5 5.5 13.5H12l-1 7 7.5-10H12z",
};
const filled = new Set(["start", "stop"]);

export function icon(name) {
  return h("svg", {viewBox: "0 0 24 24", "aria-hidden": "true", class: filled.has(name) ? "icon-shape full" : "icon-shape"},
    h("path", {d: shapes[name]}));
}

export function iconButton(name, label, onclick, more = {}) {
  return h("button", {type: "button", class: "icon", "aria-label": label, title: label, onclick, ...more}, icon(name));
}
