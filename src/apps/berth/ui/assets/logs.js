// A container's output as it comes, with a filter.
import {container as pathOf, stream} from "./api.js";
import {fill, h, setText} from "./dom.js";
import {moment, plural} from "./format.js";
import {Pen, paint} from "./screen.js";

const kept = 5000;
const asked = 1000;
const longest = 16384;  // characters of one line that are shown
const settings = {follow: true, wrap: true, times: false};

// Takes docker's frames apart: eight bytes of head, whose first names the stream and whose last four the length.
export function frames(onPayload) {
  let rest = new Uint8Array(0);
  return (bytes) => {
    const all = new Uint8Array(rest.length + bytes.length);
    all.set(rest);
    all.set(bytes, rest.length);
    let at = 0;
    while (all.length - at >= 8) {
      const length = new DataView(all.buffer, at + 4, 4).getUint32(0);
      if (all.length - at - 8 < length) break;
      onPayload(all[at], all.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
    rest = all.slice(at);
  };
}

// Cuts each stream's bytes into lines.
function lineCutter(onLine) {
  const streams = new Map();
  return (number, bytes) => {
    if (!streams.has(number)) streams.set(number, {decoder: new TextDecoder(), rest: ""});
    const state = streams.get(number);
    const lines = (state.rest + state.decoder.decode(bytes, {stream: true})).split("\n");
    state.rest = lines.pop();
    for (const line of lines) onLine(number, line.replace(/\r$/, ""));
  };
}

function lineNode(number, line) {
  const space = line.indexOf(" ");
  const time = moment(line.slice(0, space));
  const text = (time ? line.slice(space + 1) : line).slice(0, longest);
  const node = h("div", {class: number === 2 ? "line error" : "line"});
  if (time) node.append(h("time", {}, `${new Date(time * 1000).toLocaleTimeString()} `));
  // What programs write for terminals: colours are shown, everything else is left out.
  const pen = new Pen();
  for (const piece of text.split(/(\x1b\[[0-9;:]*m)/)) {
    if (piece.startsWith("\x1b[") && piece.endsWith("m")) pen.apply(piece.slice(2, -1));
    else if (piece) node.append(paint(piece.replace(/\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)|[\x00-\x08\x0b-\x1f\x7f]/g, ""), pen.style));
  }
  return node;
}

export function show(panel, details, summary, {search}) {
  const box = h("div", {class: "log", role: "log", tabindex: "0", "aria-label": "Log", "aria-live": "off"});
  const state = h("span", {class: "faint", role: "status"});
  const toggle = (name, label, changed) => {
    const input = h("input", {type: "checkbox"});
    input.checked = settings[name];
    input.addEventListener("change", () => {
      settings[name] = input.checked;
      changed();
    });
    return h("label", {class: "check"}, input, label);
  };
  const dress = () => {
    box.classList.toggle("wrap", settings.wrap);
    box.classList.toggle("times", settings.times);
  };
  const bottom = () => { box.scrollTop = box.scrollHeight; };
  const follow = toggle("follow", "Follow", () => settings.follow && bottom());
  fill(panel, h("div", {class: "toolbar"}, follow, toggle("wrap", "Wrap lines", dress), toggle("times", "Times", dress), state), box);
  dress();

  const matches = (node) => node.textContent.toLowerCase().includes(search.value.trim().toLowerCase());
  let waiting = [];
  let frame = 0;
  let count = 0;
  function flush() {
    frame = 0;
    if (waiting.length > kept) waiting = waiting.slice(-kept);
    const nodes = waiting.map(([number, line]) => lineNode(number, line));
    waiting = [];
    if (search.value.trim()) for (const node of nodes) node.hidden = !matches(node);
    box.append(...nodes);
    while (box.children.length > kept) box.firstChild.remove();
    if (settings.follow) bottom();
    tell();
  }
  function tell(word = "") {
    const hidden = search.value.trim() ? box.querySelectorAll(".line:not([hidden])").length : -1;
    setText(state, word || (hidden >= 0 ? `${plural(hidden, "line")} of ${box.children.length}` : count ? plural(box.children.length, "line") : "Nothing written yet"));
  }
  const cut = lineCutter((number, line) => {
    count++;
    waiting.push([number, line]);
    frame ||= requestAnimationFrame(flush);
  });

  let open = null;
  let last = 0;
  function connect(since) {
    let take = null;
    open = stream(pathOf(details.Id, "/logs"), {follow: 1, stdout: 1, stderr: 1, timestamps: 1, ...(since ? {since} : {tail: asked})}, {
      onHead: ({type}) => {
        take = type === "application/vnd.docker.multiplexed-stream" ? frames(cut) : (bytes) => cut(1, bytes);
        tell();
      },
      onBytes: (bytes) => {
        last = Date.now() / 1000;
        take(bytes);
      },
      onEnd: (error) => {
        open = null;
        if (frame) flush();
        tell(error ? error.message : count ? `${plural(count, "line")}; the container has ended` : "The container has ended and wrote nothing");
      },
    });
  }
  connect(0);

  search.oninput = () => {
    for (const node of box.children) node.hidden = !matches(node);
    if (settings.follow) bottom();
    tell();
  };
  box.addEventListener("scroll", () => {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    if (settings.follow !== atEnd) {
      settings.follow = atEnd;
      follow.firstChild.checked = atEnd;
    }
  });
  const leave = () => {
    cancelAnimationFrame(frame);
    open?.close();
  };
  // A container that runs again writes on.
  leave.update = ({State: now}) => {
    if (now.Running && !open) connect(last || moment(now.StartedAt) || 0);
  };
  return leave;
}
