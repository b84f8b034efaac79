// Building the document. Names, labels, logs and all else that comes from containers is put in as text and as
// attributes' values, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const svgTags = new Set(["svg", "path", "line", "g"]);

// h("a", {class: "x", href, onclick}, "text", node, [more]); false, null and undefined are left out.
export function h(tag, properties, ...children) {
  const node = svgTags.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  add(node, children);
  return node;
}

export function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== false && child !== null && child !== undefined) node.append(child);
  }
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

// Sets text only where it differs: what has not changed is not announced and does not lose a selection.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const byId = (id) => document.getElementById(id);

// An address that may stand behind a link; else nothing.
export function webAddress(host, port) {
  if (!/^[\w.-]+$|^\[[0-9a-fA-F:.]+\]$/.test(host) || !Number.isInteger(port)) return null;
  return `http://${host}:${port}/`;
}

// A question in a dialog: true when it is confirmed. What is dangerous is not done by pressing Enter once more.
export function ask({title, text, confirm, dangerous, extra}) {
  return new Promise((resolve) => {
    const dialog = h("dialog", {"aria-labelledby": "ask-title"},
      h("form", {method: "dialog"},
        h("h2", {id: "ask-title"}, title),
        text && h("p", {}, text),
        extra,
        h("div", {class: "buttons"},
          h("button", {value: "no", autofocus: dangerous}, "Cancel"),
          h("button", {value: "yes", class: dangerous ? "danger" : "primary", autofocus: !dangerous}, confirm))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// A line that comes and goes at the edge of the page, and is read out.
export function say(text, kind = "done") {
  const line = h("div", {class: `toast ${kind}`}, text,
    h("button", {class: "icon", type: "button", "aria-label": "Dismiss", onclick: () => line.remove()}, "×"));
  const toasts = byId("toasts");
  toasts.append(line);
  while (toasts.children.length > 4) toasts.firstChild.remove();
  setTimeout(() => line.remove(), kind === "error" ? 12000 : 4000);
}
