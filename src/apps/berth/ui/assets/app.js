// The frame around the views: signing in, the address bar, navigation, theme, the state of the engine.
import {hasKey, onStranger, signIn} from "./api.js";
import {byId, fill, h, setText} from "./dom.js";
import {begin, engine, on} from "./engine.js";
import {icon} from "./icons.js";
import {bindKeys, showHelp} from "./keys.js";
import * as containers from "./containers.js";
import * as container from "./container.js";
import * as objects from "./objects.js";
import * as events from "./events.js";

const views = {
  containers: {title: "Containers", show: (main, tools, [id, tab]) => id ? container.show(main, tools, id, tab) : containers.show(main, tools)},
  images: {title: "Images", show: objects.images},
  networks: {title: "Networks", show: objects.networks},
  volumes: {title: "Volumes", show: objects.volumes},
  events: {title: "Events", show: events.show},
};

const search = byId("search");
const main = byId("main");

// --- theme ---------------------------------------------------------------------------------------------------

const themes = ["auto", "light", "dark"];
function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  const words = {auto: "as the system has it", light: "light", dark: "dark"};
  const button = byId("theme");
  button.setAttribute("aria-label", `Colours: ${words[theme]}`);
  button.title = `Colours: ${words[theme]} (d)`;
  fill(button, icon(theme));
}
const theme = () => themes.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto";
const nextTheme = () => applyTheme(themes[(themes.indexOf(theme()) + 1) % themes.length]);

// --- navigation ----------------------------------------------------------------------------------------------

const links = Object.entries(views).map(([name, {title}]) =>
  h("a", {href: `#/${name}`, "data-view": name}, icon(name), h("span", {}, title), h("span", {class: "count"})));

let leave = null;
let place = "";
function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return "";
    }
  });
  const view = Object.hasOwn(views, name) ? name : "containers";
  leave?.();
  if (place !== view) search.value = "";
  place = view;
  for (const link of links) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${views[view].title} · berth`;
  leave = views[view].show(main, {search}, rest) ?? null;
  window.scrollTo(0, 0);
}

function updateCounts() {
  for (const link of links) {
    const list = engine[link.dataset.view];
    const running = link.dataset.view === "containers" ? list?.filter((one) => one.State === "running") : list;
    setText(link.lastChild, running && link.dataset.view !== "events" ? String(running.length) : "");
  }
}

function updateState() {
  const banner = byId("banner");
  banner.hidden = !engine.problem;
  setText(banner, engine.problem ? `Nothing new from the engine: ${engine.problem}. Trying again…` : "");
  const version = engine.version;
  const name = version?.Platform?.Name || version?.Components?.[0]?.Name || "engine";
  setText(byId("about"), version ? `${name} ${version.Version} · API ${version.ApiVersion} · ${version.KernelVersion ?? ""} · ${version.Arch}` : "");
}

// --- signing in ----------------------------------------------------------------------------------------------

let shown = false;
function askForToken(problem) {
  if (shown) return;
  shown = true;
  leave?.();
  leave = null;
  document.body.classList.add("stranger");
  const input = h("input", {id: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-help"});
  const form = h("form", {class: "sign-in"}, h("h1", {}, "Sign in"),
    h("p", {id: "token-help"}, "Open the address that ", h("code", {}, "berth ui"), " printed, or paste it here."),
    problem && h("p", {class: "problem", role: "alert"}, problem),
    h("label", {for: "token"}, "Address or token"), input, h("button", {class: "primary"}, "Sign in"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    shown = false;
    enter(input.value.trim().replace(/^.*#token=/, ""));
  });
  fill(main, form);
  input.focus();
}

let begun = false;
async function enter(token) {
  try {
    if (token) await signIn(token);
  } catch (error) {
    return askForToken(error.message);
  }
  if (!hasKey()) return askForToken();
  document.body.classList.remove("stranger");
  if (!location.hash.startsWith("#/")) history.replaceState(null, "", "#/containers");
  if (begun) return location.reload();
  begun = true;
  route();
  begin();
}

// --- life ----------------------------------------------------------------------------------------------------

applyTheme(theme());
fill(byId("nav"), links);
fill(byId("help"), icon("help"));
byId("help").onclick = showHelp;
byId("theme").onclick = nextTheme;
byId("skip").onclick = (event) => {
  event.preventDefault();
  main.focus();
};
const go = (view) => () => { location.hash = `#/${view}`; };
bindKeys("Everywhere", [
  ["/", "Filter", () => search.focus()],
  ...Object.entries(views).map(([name, {title}], i) => [String(i + 1), title, go(name)]),
  ["d", "Dark, light or the system's colours", nextTheme],
  ["?", "These shortcuts", showHelp],
  ["Escape", "Back", () => location.hash.split("/").length > 2 && go(place)()],
]);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !search.value) return;
  search.value = "";
  search.dispatchEvent(new Event("input"));
  event.preventDefault();
});
for (const kind of ["containers", "images", "networks", "volumes"]) on(kind, updateCounts);
on("state", updateState);
onStranger(() => askForToken());

// The token leaves the address at once, and with it the browser's history.
function tokenInAddress() {
  const token = /^#token=([0-9a-f]+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, "", "#/containers");
  return token;
}
window.addEventListener("hashchange", () => {
  const token = tokenInAddress();
  if (token) enter(token);
  else if (!document.body.classList.contains("stranger")) route();
});
enter(tokenInAddress());
