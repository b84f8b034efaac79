// A terminal's screen: what a program writes (ECMA-48 and xterm's additions, as far as shells, editors and pagers
// use them) becomes rows of cells. It knows nothing of the document but for paint(), which makes text of a style.
import {h} from "./dom.js";

const maxParameters = 32;
const maxSequence = 4096;
const maxScrollback = 2000;

// --- styles --------------------------------------------------------------------------------------------------

const plain = Object.freeze({fg: null, bg: null, bold: false, faint: false, italic: false, underline: false, inverse: false});

// A colour is a number of the palette of 256, or "#rrggbb".
function extended(numbers, at) {
  if (numbers[at + 1] === 5) return [numbers[at + 2] & 255, 2];
  if (numbers[at + 1] === 2) {
    const hex = [2, 3, 4].map((i) => ((numbers[at + i] ?? 0) & 255).toString(16).padStart(2, "0")).join("");
    return [`#${hex}`, 4];
  }
  return [null, 0];
}

// The style in force, changed by SGR sequences.
export class Pen {
  style = plain;

  apply(text) {
    const numbers = text.split(/[;:]/).slice(0, maxParameters).map(Number);
    const style = {...this.style};
    for (let i = 0; i < numbers.length; i++) {
      const n = numbers[i];
      if (n === 0) Object.assign(style, plain);
      else if (n === 1) style.bold = true;
      else if (n === 2) style.faint = true;
      else if (n === 3) style.italic = true;
      else if (n === 4) style.underline = true;
      else if (n === 7) style.inverse = true;
      else if (n === 22) style.bold = style.faint = false;
      else if (n === 23) style.italic = false;
      else if (n === 24) style.underline = false;
      else if (n === 27) style.inverse = false;
      else if (n >= 30 && n <= 37) style.fg = n - 30;
      else if (n >= 40 && n <= 47) style.bg = n - 40;
      else if (n >= 90 && n <= 97) style.fg = n - 82;
      else if (n >= 100 && n <= 107) style.bg = n - 92;
      else if (n === 39) style.fg = null;
      else if (n === 49) style.bg = null;
      else if (n === 38 || n === 48) {
        const [colour, used] = extended(numbers, i);
        if (colour !== null) style[n === 38 ? "fg" : "bg"] = colour;
        i += used;
      }
    }
    // One object stands for the plain style, so that it is known at a glance.
    this.style = Object.keys(plain).every((name) => style[name] === plain[name]) ? plain : style;
  }
}

function paletteColour(index) {
  if (index >= 232) return `rgb(${Array(3).fill(8 + (index - 232) * 10).join(" ")})`;
  const level = (n) => n && 55 + n * 40;
  const n = index - 16;
  return `rgb(${level(Math.floor(n / 36))} ${level(Math.floor(n / 6) % 6)} ${level(n % 6)})`;
}

function setColour(node, property, letter, colour) {
  if (typeof colour === "number" && colour < 16) node.classList.add(`${letter}${colour}`);
  else if (colour !== null) node.style.setProperty(property, typeof colour === "number" ? paletteColour(colour) : colour);
}

// Text in a style; `extra` is one more class.
export function paint(text, style, extra = "") {
  if (style === plain && !extra) return document.createTextNode(text);
  const node = h("span", {});
  for (const name of ["bold", "faint", "italic", "underline", "inverse"]) if (style[name]) node.classList.add(`t-${name}`);
  if (extra) node.classList.add(extra);
  setColour(node, style.inverse ? "background-color" : "color", style.inverse ? "bg" : "fg", style.fg);
  setColour(node, style.inverse ? "color" : "background-color", style.inverse ? "fg" : "bg", style.bg);
  node.textContent = text;
  return node;
}

// --- cells ---------------------------------------------------------------------------------------------------

function isWide(code) {
  return code >= 0x1100 && (code <= 0x115f || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd));
}
const joins = /\p{M}|\u200d|[\ufe00-\ufe0f]/u;
const lineDrawing = {j: "┘", k: "┐", l: "┌", m: "└", n: "┼", q: "─", t: "├", u: "┤", v: "┴", w: "┬", x: "│", a: "▒", "`": "◆", f: "°", g: "±", o: "⎺", s: "⎽", "~": "·"};

// One row: text and style of each cell; the second cell of a wide character is empty.
class Row {
  constructor(columns, style = plain) {
    this.text = Array(columns).fill(" ");
    this.style = Array(columns).fill(style);
    this.dirty = true;
  }
  resize(columns) {
    while (this.text.length < columns) {
      this.text.push(" ");
      this.style.push(plain);
    }
    this.text.length = this.style.length = columns;
    this.dirty = true;
  }
}

export class Screen {
  // onReply(text): what the terminal answers to questions of the program.
  constructor(columns, rows, onReply = () => {}) {
    Object.assign(this, {columns, rows, onReply, scrollback: [], dropped: 0});
    this.reset();
  }

  reset() {
    this.pen = new Pen();
    this.lines = Array.from({length: this.rows}, () => new Row(this.columns));
    this.main = null;  // the lines of the main screen while the alternate one is shown
    this.x = this.y = 0;
    this.top = 0;
    this.bottom = this.rows - 1;
    this.wrapNext = false;
    this.modes = {wrap: true, cursor: true, applicationKeys: false, bracketedPaste: false, origin: false, insert: false, newLine: false};
    this.saved = null;
    this.drawing = false;
    this.title = "";
    this.state = "text";
    this.sequence = "";
    this.last = " ";
  }

  resize(columns, rows) {
    if (columns === this.columns && rows === this.rows) return;
    for (const set of [this.lines, this.main].filter(Boolean)) {
      for (const row of set) row.resize(columns);
      while (set.length > rows) {
        // Empty rows below the cursor go first, so that what is written stays in sight.
        if (set === this.lines && this.y < set.length - 1) set.pop();
        else {
          const gone = set.shift();
          if (set === this.lines) {
            this.keep(gone);
            this.y--;
          }
        }
      }
      while (set.length < rows) set.push(new Row(columns));
    }
    Object.assign(this, {columns, rows, top: 0, bottom: rows - 1, wrapNext: false});
    this.moveTo(this.x, this.y);
  }

  keep(row) {
    if (this.main) return;
    this.scrollback.push(row);
    if (this.scrollback.length > maxScrollback) {
      this.scrollback.shift();
      this.dropped++;
    }
  }

  moveTo(x, y) {
    this.x = Math.max(0, Math.min(this.columns - 1, x));
    this.y = Math.max(0, Math.min(this.rows - 1, y));
    this.wrapNext = false;
  }

  // What leaves the top of the screen is kept, what is deleted is not.
  scrollUp(count = 1, from = this.top, deleted = false) {
    for (let i = 0; i < Math.min(count, this.rows); i++) {
      const [gone] = this.lines.splice(from, 1);
      if (from === 0 && !deleted) this.keep(gone);
      this.lines.splice(this.bottom, 0, this.blank());
    }
  }
  scrollDown(count = 1, from = this.top) {
    for (let i = 0; i < Math.min(count, this.rows); i++) {
      this.lines.splice(this.bottom, 1);
      this.lines.splice(from, 0, this.blank());
    }
  }
  // Erased cells have the background in force.
  eraser() {
    return this.pen.style.bg === null ? plain : {...plain, bg: this.pen.style.bg};
  }
  blank() {
    return new Row(this.columns, this.eraser());
  }
  erase(y, from, to) {
    const row = this.lines[y];
    row.text.fill(" ", from, to);
    row.style.fill(this.eraser(), from, to);
    row.dirty = true;
  }

  lineFeed() {
    this.wrapNext = false;
    if (this.y === this.bottom) this.scrollUp();
    else if (this.y < this.rows - 1) this.y++;
  }

  put(character) {
    const code = character.codePointAt(0);
    if (code > 127 && joins.test(character)) {
      const at = Math.max(0, this.wrapNext ? this.x : this.x - 1);
      const row = this.lines[this.y];
      if (row.text[at].length < 16) row.text[at] += character;
      row.dirty = true;
      return;
    }
    if (this.drawing && lineDrawing[character]) character = lineDrawing[character];
    const width = isWide(code) ? 2 : 1;
    if (this.wrapNext || this.x + width > this.columns) {
      if (this.modes.wrap) {
        this.x = 0;
        this.lineFeed();
      } else this.x = Math.max(0, this.columns - width);
    }
    const row = this.lines[this.y];
    if (this.modes.insert) {
      row.text.splice(this.x, 0, ...Array(width).fill(" "));
      row.style.splice(this.x, 0, ...Array(width).fill(this.pen.style));
      row.resize(this.columns);
    }
    row.text[this.x] = character;
    row.style[this.x] = this.pen.style;
    if (width === 2 && this.x + 1 < this.columns) {
      row.text[this.x + 1] = "";
      row.style[this.x + 1] = this.pen.style;
    }
    row.dirty = true;
    this.last = character;
    this.wrapNext = this.x + width >= this.columns;
    if (!this.wrapNext) this.x += width;
    else this.x = this.columns - 1;
  }

  // --- the stream ----------------------------------------------------------------------------------------------

  write(text) {
    for (const character of text) this.take(character);
  }

  take(character) {
    const code = character.codePointAt(0);
    if (this.state === "string") return this.takeString(character, code);
    if (code === 0x1b) {
      this.state = "escape";
      this.sequence = "";
      return;
    }
    if (code < 32) return this.control(code);
    if (code === 127) return;
    if (this.state === "text") return this.put(character);
    this.sequence += character;
    if (this.sequence.length > maxSequence) this.state = "text";
    else if (this.state === "escape") this.escape(character);
    else if (code >= 0x40 && code <= 0x7e) {
      this.state = "text";
      this.csi(this.sequence.slice(0, -1), character);
    }
  }

  // OSC, DCS and their like: to BEL or ST. Only the title is used.
  takeString(character, code) {
    const ended = code === 7 || code === 0x9c || (character === "\\" && this.sequence.endsWith("\x1b"));
    if (!ended) {
      if (this.sequence.length < maxSequence) this.sequence += character;
      else if (code === 0x1b) this.sequence = this.sequence.slice(0, -1) + character;
      return;
    }
    this.state = "text";
    const title = /^\][02];([^\x1b]*)/.exec(this.sequence)?.[1];
    if (title !== undefined) this.title = title.slice(0, 200);
  }

  control(code) {
    if (code === 8) this.moveTo(this.x - 1, this.y);
    else if (code === 9) this.moveTo((Math.floor(this.x / 8) + 1) * 8, this.y);
    else if (code >= 10 && code <= 12) {
      this.lineFeed();
      if (this.modes.newLine) this.x = 0;
    } else if (code === 13) this.moveTo(0, this.y);
    else if (code === 14) this.drawing = this.graphics === "1";
    else if (code === 15) this.drawing = false;
  }

  escape(character) {
    if (this.sequence.length === 2) {  // ESC ( B and its like: which letters
      if (this.sequence[0] === "(") this.drawing = character === "0";
      if (this.sequence[0] === ")") this.graphics = character === "0" ? "1" : "";
      this.state = "text";
      return;
    }
    if (character === "[") {
      this.state = "csi";
      this.sequence = "";
      return;
    }
    if ("]PX^_".includes(character)) {
      this.state = "string";
      return;
    }
    if ("()*+#%".includes(character)) return;
    this.state = "text";
    if (character === "7") this.save();
    else if (character === "8") this.restore();
    else if (character === "D") this.lineFeed();
    else if (character === "E") {
      this.lineFeed();
      this.x = 0;
    } else if (character === "M") {
      if (this.y === this.top) this.scrollDown();
      else this.moveTo(this.x, this.y - 1);
    } else if (character === "c") this.reset();
  }

  save() {
    this.saved = {x: this.x, y: this.y, style: this.pen.style, drawing: this.drawing};
  }
  restore() {
    const saved = this.saved ?? {x: 0, y: 0, style: plain, drawing: false};
    this.moveTo(saved.x, saved.y);
    this.pen.style = saved.style;
    this.drawing = saved.drawing;
  }

  csi(parameters, final) {
    if (final === "m" && !/^[<=>?]/.test(parameters)) return this.pen.apply(parameters);
    if (parameters.startsWith("?") && (final === "h" || final === "l")) {
      for (const mode of parameters.slice(1).split(";").map(Number)) this.setMode(mode, final === "h");
      return;
    }
    if (/[^0-9;]/.test(parameters)) return;  // another terminal's
    const numbers = parameters.split(";").slice(0, maxParameters).map((text) => Math.min(Number(text) || 0, 9999));
    const n = numbers[0] || 1;
    const row = this.lines[this.y];
    const top = this.modes.origin ? this.top : 0;
    switch (final) {
      case "A": return this.moveTo(this.x, Math.max(this.y >= this.top ? this.top : 0, this.y - n));
      case "B": case "e": return this.moveTo(this.x, Math.min(this.y <= this.bottom ? this.bottom : this.rows - 1, this.y + n));
      case "C": case "a": return this.moveTo(this.x + n, this.y);
      case "D": return this.moveTo(this.x - n, this.y);
      case "E": return this.moveTo(0, this.y + n);
      case "F": return this.moveTo(0, this.y - n);
      case "G": case "`": return this.moveTo(n - 1, this.y);
      case "H": case "f": return this.moveTo((numbers[1] || 1) - 1, top + n - 1);
      case "d": return this.moveTo(this.x, top + n - 1);
      case "J": return this.eraseScreen(numbers[0]);
      case "K": return this.erase(this.y, numbers[0] ? 0 : this.x, numbers[0] === 1 ? this.x + 1 : this.columns);
      case "X": return this.erase(this.y, this.x, Math.min(this.columns, this.x + n));
      case "L": if (this.y >= this.top && this.y <= this.bottom) this.scrollDown(n, this.y); return;
      case "M": if (this.y >= this.top && this.y <= this.bottom) this.scrollUp(n, this.y, true); return;
      case "S": return this.scrollUp(n);
      case "T": return this.scrollDown(n);
      case "P":
        row.text.splice(this.x, n);
        row.style.splice(this.x, n);
        return row.resize(this.columns);
      case "@": {
        const count = Math.min(n, this.columns);
        row.text.splice(this.x, 0, ...Array(count).fill(" "));
        row.style.splice(this.x, 0, ...Array(count).fill(this.eraser()));
        return row.resize(this.columns);
      }
      case "b": for (let i = 0; i < Math.min(n, this.columns * this.rows); i++) this.put(this.last); return;
      case "r": {
        const bottom = (numbers[1] || this.rows) - 1;
        if (n - 1 < bottom && bottom < this.rows) {
          this.top = n - 1;
          this.bottom = bottom;
          this.moveTo(0, this.modes.origin ? this.top : 0);
        }
        return;
      }
      case "h": case "l":
        if (numbers[0] === 4) this.modes.insert = final === "h";
        if (numbers[0] === 20) this.modes.newLine = final === "h";
        return;
      case "n":
        if (numbers[0] === 6) this.onReply(`\x1b[${this.y + 1};${this.x + 1}R`);
        if (numbers[0] === 5) this.onReply("\x1b[0n");
        return;
      case "c": return this.onReply("\x1b[?62;22c");
      case "s": return this.save();
      case "u": return this.restore();
    }
  }

  eraseScreen(what) {
    if (what === 3) {
      this.dropped += this.scrollback.length;
      this.scrollback = [];
      return;
    }
    const from = what === 0 ? this.y + 1 : 0;
    const to = what === 1 ? this.y : this.rows;
    for (let y = from; y < to; y++) this.erase(y, 0, this.columns);
    if (what === 0) this.erase(this.y, this.x, this.columns);
    if (what === 1) this.erase(this.y, 0, this.x + 1);
  }

  setMode(mode, on) {
    if (mode === 1) this.modes.applicationKeys = on;
    else if (mode === 6) this.modes.origin = on;
    else if (mode === 7) this.modes.wrap = on;
    else if (mode === 25) this.modes.cursor = on;
    else if (mode === 2004) this.modes.bracketedPaste = on;
    else if (mode === 47 || mode === 1047 || mode === 1049) this.alternate(on, mode === 1049);
  }

  alternate(on, withCursor) {
    if (on === Boolean(this.main)) return;
    if (on) {
      if (withCursor) this.save();
      this.main = this.lines;
      this.lines = Array.from({length: this.rows}, () => new Row(this.columns));
    } else {
      this.lines = this.main;
      this.main = null;
      for (const row of this.lines) row.dirty = true;
      if (withCursor) this.restore();
    }
    this.top = 0;
    this.bottom = this.rows - 1;
  }
}

// A row as nodes: runs of one style. `cursor` is a column or -1.
export function paintRow(row, cursor) {
  const nodes = [];
  let end = row.text.length;
  while (end > 0 && row.text[end - 1] === " " && row.style[end - 1] === plain && end - 1 > cursor) end--;
  for (let x = 0; x < end;) {
    let to = x + 1;
    if (x !== cursor) while (to < end && to !== cursor && row.style[to] === row.style[x]) to++;
    nodes.push(paint(row.text.slice(x, to).join("") || " ", row.style[x], x === cursor ? "t-cursor" : ""));
    x = to;
  }
  return nodes;
}
