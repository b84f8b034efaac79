// Keyboard shortcuts: single keys, while nothing is being typed, and the overlay that lists them.
import {h} from "./dom.js";

const groups = [];

// bindings: [[key, label, run]]; without label not listed, without run only listed. Returns the way to unbind.
export function bindKeys(title, bindings) {
  const group = {title, bindings};
  groups.push(group);
  return () => groups.splice(groups.indexOf(group), 1);
}

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable], dialog");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (typing(event.target)) {
    // Escape gives the keys back to the page.
    if (event.key === "Escape" && event.target.matches("input")) event.target.blur();
    return;
  }
  for (const {bindings} of [...groups].reverse()) {
    const found = bindings.find(([key, , run]) => key === event.key && run);
    if (!found) continue;
    event.preventDefault();
    found[2]();
    return;
  }
});

export function showHelp() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = h("dialog", {class: "help", "aria-labelledby": "help-title"},
    h("h2", {id: "help-title"}, "Keyboard shortcuts"),
    h("div", {class: "groups"}, groups.filter(({bindings}) => bindings.some(([, label]) => label)).map(({title, bindings}) =>
      h("section", {}, h("h3", {}, title), h("dl", {}, bindings.filter(([, label]) => label).map(([key, label]) =>
        [h("dt", {}, h("kbd", {}, key === "Escape" ? "Esc" : key)), h("dd", {}, label)]))))),
    h("form", {method: "dialog", class: "buttons"}, h("button", {class: "primary", autofocus: true}, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
