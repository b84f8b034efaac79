// Asking the engine, through the server that this page came from. The cookie of the session is out of scripts'
// reach; the key, which goes along with every request, is kept for this origin alone.
let key = localStorage.getItem("berth-key") ?? "";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const hasKey = () => key !== "";

const strangers = new Set();
// Calls `listener` whenever the server does not know this page (any more).
export const onStranger = (listener) => strangers.add(listener);

async function fail(response) {
  let message = `the server answered ${response.status}`;
  try {
    message = (await response.json()).message || message;
  } catch {
    // Not JSON: the status has to do.
  }
  throw new ApiError(response.status, message);
}

async function send(path, options) {
  try {
    return await fetch(path, {credentials: "same-origin", ...options});
  } catch {
    throw new ApiError(0, "\"berth ui\" does not run any more");
  }
}

export async function signIn(token) {
  const response = await send("session", {method: "POST", body: JSON.stringify({token})});
  if (!response.ok) await fail(response);
  key = (await response.json()).key;
  localStorage.setItem("berth-key", key);
}

function queryOf(query) {
  const text = new URLSearchParams(query ?? {}).toString();
  return text && `?${text}`;
}

// path: "/containers/json"; segments that come from outside go through encodeURIComponent. The answer is the
// parsed JSON, or text, or null.
export async function call(method, path, {query, body} = {}) {
  const headers = {"Berth-Key": key};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(`api${path}${queryOf(query)}`,
    {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
  if (response.status === 401) for (const listener of strangers) listener();
  if (!response.ok) await fail(response);
  if (response.status === 204) return null;
  const text = await response.text();
  if (!text) return null;
  return response.headers.get("Content-Type") === "application/json" ? JSON.parse(text) : text;
}

export const container = (id, action = "") => `/containers/${encodeURIComponent(id)}${action}`;

// A stream of the engine. onHead({status, type}), onBytes(Uint8Array), onEnd(ApiError or null), once each but
// for onBytes. Returns {send(bytes), close()}; after close() nothing is called any more.
export function stream(path, query, {onHead, onBytes, onEnd}) {
  const address = new URL(`stream${path}${queryOf(query)}`, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  const socket = new WebSocket(address, ["berth", `key-${key}`]);
  socket.binaryType = "arraybuffer";
  let failure = null;
  let greeted = false;
  let closed = false;
  socket.onmessage = ({data}) => {
    if (closed) return;
    if (typeof data !== "string") return onBytes(new Uint8Array(data));
    const head = JSON.parse(data);
    greeted = true;
    if (head.status >= 400) failure = new ApiError(head.status, head.message);
    else onHead?.(head);
  };
  socket.onclose = () => {
    if (closed) return;
    closed = true;
    onEnd?.(failure ?? (greeted ? null : new ApiError(0, "no connection to \"berth ui\"")));
  };
  return {
    send: (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes),
    close: () => {
      closed = true;
      socket.close();
    },
  };
}

// Cuts a stream of JSON documents, one a line, into objects.
export function jsonLines(onObject) {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, {stream: true})).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.trim()) onObject(JSON.parse(line));
  };
}
