// A terminal in a container: an exec whose screen is drawn here and whose keyboard is this one.
import {call, container as pathOf, stream} from "./api.js";
import {fill, h, setText} from "./dom.js";
import {paintRow, Screen} from "./screen.js";

const special = {Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b", Delete: "\x1b[3~", Insert: "\x1b[2~", PageUp: "\x1b[5~", PageDown: "\x1b[6~",
  F1: "\x1bOP", F2: "\x1bOQ", F3: "\x1bOR", F4: "\x1bOS", F5: "\x1b[15~", F7: "\x1b[18~", F8: "\x1b[19~", F9: "\x1b[20~", F10: "\x1b[21~", F12: "\x1b[24~"};
const arrows = {ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F"};

// The bytes that a key stands for, or null when it is the browser's.
export function keyText(event, modes) {
  if (event.key === "F6" || event.metaKey) return null;  // F6 leaves the terminal
  if (event.ctrlKey && event.shiftKey) return null;      // copy and paste, the browser's tools
  if (event.key === "Tab" && event.shiftKey) return "\x1b[Z";
  const arrow = arrows[event.key];
  if (arrow) {
    if (event.ctrlKey) return `\x1b[1;5${arrow}`;
    if (event.altKey) return `\x1b[1;3${arrow}`;
    return `\x1b${modes.applicationKeys ? "O" : "["}${arrow}`;
  }
  const alt = event.altKey ? "\x1b" : "";
  if (special[event.key]) return alt + special[event.key];
  if (event.ctrlKey && event.key.length === 1) {
    const code = event.key.toUpperCase().charCodeAt(0);
    if (code >= 64 && code <= 95) return alt + String.fromCharCode(code - 64);
    if (event.key === " ") return alt + "\x00";
    return null;
  }
  return event.altKey && event.key.length === 1 ? alt + event.key : null;
}

export function show(panel, details) {
  const command = h("input", {value: "sh", "aria-label": "Command", spellcheck: "false", autocomplete: "off"});
  const user = h("input", {placeholder: "user", "aria-label": "User", spellcheck: "false", autocomplete: "off", size: "10"});
  const button = h("button", {}, "Open");
  const state = h("span", {class: "faint", role: "status"});
  const form = h("form", {class: "toolbar"}, h("label", {}, "Run ", command), user, button, state);
  const rowsBox = h("div", {class: "rows", "aria-hidden": "true"});
  const input = h("textarea", {class: "keyboard", "aria-label": "Terminal input; F6 leaves it", autocapitalize: "off", autocomplete: "off", autocorrect: "off", spellcheck: "false", rows: "1"});
  // For screen readers: what was written last, as plain text.
  const heard = h("div", {class: "sr", role: "log", "aria-label": "Terminal output"});
  const box = h("div", {class: "terminal"}, rowsBox, input, heard);
  fill(panel, form, box, h("p", {class: "faint"}, "F6 leaves the terminal; Ctrl+Shift+C copies, Ctrl+Shift+V pastes. Leaving this page ends what runs in it."));

  let open = null;
  let exec = null;
  let screen = null;
  let frame = 0;
  let drawn = [];
  let first = 0;  // number of the oldest row that is drawn
  const encoder = new TextEncoder();
  const send = (text) => open?.send(encoder.encode(text));

  // How many cells fit.
  function measure() {
    const probe = h("span", {class: "probe"}, "0".repeat(50));
    box.append(probe);
    const {width, height} = probe.getBoundingClientRect();
    probe.remove();
    const style = getComputedStyle(box);
    const room = (total, ...sides) => total - sides.reduce((sum, side) => sum + parseFloat(style[side]), 0);
    return [Math.max(20, Math.floor(room(box.clientWidth, "paddingLeft", "paddingRight") / (width / 50)) || 80),
      Math.max(5, Math.floor(room(box.clientHeight, "paddingTop", "paddingBottom") / height) || 24)];
  }

  function draw() {
    frame = 0;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const all = screen.main ? screen.lines : [...screen.scrollback, ...screen.lines];
    const start = screen.main ? 0 : screen.dropped;
    if (start > first) drawn.splice(0, start - first).forEach((line) => line.element.remove());
    first = start;
    const cursorRow = all.length - screen.rows + screen.y;
    all.forEach((row, i) => {
      const line = drawn[i] ??= {element: rowsBox.appendChild(h("div", {class: "row"})), row: null, cursor: -1};
      const cursor = i === cursorRow && screen.modes.cursor && open ? screen.x : -1;
      if (line.row === row && !row.dirty && line.cursor === cursor) return;
      fill(line.element, paintRow(row, cursor));
      Object.assign(line, {row, cursor});
      row.dirty = false;
    });
    drawn.splice(all.length).forEach((line) => line.element.remove());
    if (atEnd) box.scrollTop = box.scrollHeight;
    const top = drawn[cursorRow]?.element.offsetTop ?? 0;
    input.style.top = `${top}px`;
  }
  const schedule = () => { frame ||= requestAnimationFrame(draw); };

  function hear(text) {
    const words = text.replace(/\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)|[\x00-\x09\x0b-\x1f]/g, "").trim();
    if (words) heard.append(h("div", {}, words.slice(0, 2000)));
    while (heard.children.length > 20) heard.firstChild.remove();
  }

  async function resize() {
    if (!screen) return;
    const [columns, rows] = measure();
    if (columns === screen.columns && rows === screen.rows) return;
    screen.resize(columns, rows);
    schedule();
    if (open && exec) call("POST", `/exec/${exec}/resize`, {query: {h: rows, w: columns}}).catch(() => {});
  }

  function ended(text) {
    open = null;
    setText(button, "Open again");
    setText(state, text);
    if (screen) schedule();
  }

  async function connect() {
    open?.close();
    open = null;
    const words = command.value.trim().split(/\s+/).filter(Boolean);
    if (words.length === 0) return command.focus();
    const [columns, rows] = measure();
    screen = new Screen(columns, rows, send);
    drawn = [];
    first = 0;
    rowsBox.replaceChildren();
    heard.replaceChildren();
    setText(state, "Opening…");
    try {
      const body = {Cmd: words, Tty: true, AttachStdin: true, AttachStdout: true, AttachStderr: true, Env: ["TERM=xterm-256color"]};
      if (user.value.trim()) body.User = user.value.trim();
      exec = (await call("POST", pathOf(details.Id, "/exec"), {body})).Id;
    } catch (error) {
      return ended(error.message);
    }
    if (left) return;
    const decoder = new TextDecoder();
    open = stream(`/exec/${exec}/start`, {h: screen.rows, w: screen.columns}, {
      onHead() {
        setText(state, "");
        setText(button, "Start anew");
        input.focus({preventScroll: true});
        schedule();
      },
      onBytes(bytes) {
        const text = decoder.decode(bytes, {stream: true});
        screen.write(text);
        hear(text);
        schedule();
      },
      async onEnd(error) {
        if (error) return ended(error.message);
        try {
          const {ExitCode: code} = await call("GET", `/exec/${exec}/json`);
          ended(code === null || code === undefined ? "Ended" : `Ended with ${code}`);
        } catch {
          ended("Ended");
        }
      },
    });
  }

  let left = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    connect();
  });
  box.addEventListener("mouseup", () => getSelection().isCollapsed && input.focus({preventScroll: true}));
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !screen) return;
    if (event.key === "F6") {
      event.preventDefault();
      return button.focus();
    }
    if (event.ctrlKey && event.shiftKey && event.key.toUpperCase() === "C") {
      event.preventDefault();
      navigator.clipboard?.writeText(getSelection().toString()).catch(() => {});
      return;
    }
    const text = keyText(event, screen.modes);
    if (text === null) return;
    event.preventDefault();
    send(text);
  });
  input.addEventListener("input", (event) => {
    if (event.isComposing) return;
    send(input.value.replace(/\n/g, "\r"));
    input.value = "";
  });
  input.addEventListener("compositionend", () => {
    send(input.value);
    input.value = "";
  });
  input.addEventListener("paste", (event) => {
    event.preventDefault();
    const text = event.clipboardData.getData("text").replace(/\r?\n/g, "\r").replaceAll("\x1b", "");
    send(screen?.modes.bracketedPaste ? `\x1b[200~${text}\x1b[201~` : text);
    box.scrollTop = box.scrollHeight;
  });
  const observer = new ResizeObserver(resize);
  observer.observe(box);

  if (details.State.Running) connect();
  else setText(state, "The container does not run: start it first.");
  const leave = () => {
    left = true;
    cancelAnimationFrame(frame);
    observer.disconnect();
    open?.close();
  };
  leave.update = ({State: now}) => {
    if (!now.Running && !open) setText(state, "The container does not run: start it first.");
    else if (now.Running && !open && !screen) connect();
  };
  return leave;
}
