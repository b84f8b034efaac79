// The runtime client of berth's Node.js bases: asks the Runtime API (2018-06-01) for events and runs the handler:
// CommonJS or ES modules; async, callback and streaming (awslambda.streamifyResponse) handlers. Written for a quick
// start: a CommonJS module, HTTP by hand over a socket that berth-init has connected, and `node:net`, which takes 5
// to 8 ms to load, and `node:http` only where that does not do.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = module.constructor;
const { pathToFileURL } = require('node:url');
const { format } = require('node:util');

const [apiHost, apiPort] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const base = '/2018-06-01/runtime';
const jsonLogs = process.env.AWS_LAMBDA_LOG_FORMAT === 'JSON';
let requestId = '';

// One answer out of the bytes that have come: {status, headers, body}, or null while some are missing.
function parseAnswer(bytes) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first, ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const answer = { status: Number(first.split(' ')[1]), headers };
  let at = end + 4;
  if (!/chunked/i.test(headers['transfer-encoding'] || '')) {
    const size = Number(headers['content-length'] || 0);
    if (bytes.length < at + size) return null;
    return { ...answer, body: bytes.subarray(at, at + size) };
  }
  const pieces = [];
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return null;
    const size = parseInt(bytes.toString('latin1', at, line), 16);
    if (bytes.length < line + 4 + size) return null;
    pieces.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 4 + size;
    if (size === 0) return { ...answer, body: Buffer.concat(pieces) };
  }
}

const { closeSync, read, writeSync } = fs;  // a handler may put others into their places
const received = Buffer.allocUnsafeSlow(64 << 10);
let given = givenSocket();

// The socket that berth-init has connected, or -1. A read that waits ends with EAGAIN after 100 ms, so that an exit need
// not wait for a thread that reads.
function givenSocket() {
  const descriptor = Number(process.env.BERTH_RUNTIME_SOCKET || -1);
  delete process.env.BERTH_RUNTIME_SOCKET;
  try { return descriptor > 2 && fs.fstatSync(descriptor).isSocket() ? descriptor : -1; } catch { return -1; }
}

function dropGiven() {
  if (given >= 0) try { closeSync(given); } catch { /* somebody else has */ }
  given = -1;
}

function readGiven() {
  return new Promise((resolve, reject) => {
    const settle = (error, size) => {
      // A read with a bound on its time is ended by a freeze (EINTR) and the kernel does not begin it again.
      if (error && (error.code === 'EAGAIN' || error.code === 'EINTR')) {
        read(given, received, 0, received.length, null, settle);
      } else if (error) reject(error);
      else if (size === 0) reject(new Error('the Runtime API closed the connection'));
      else resolve(Buffer.from(received.subarray(0, size)));
    };
    settle({ code: 'EAGAIN' });
  });
}

async function exchangeGiven(request) {
  busy = true;
  let all = null;
  try {
    const bytes = Buffer.from(request);
    for (let at = 0; at < bytes.length;) at += writeSync(given, bytes, at);
    const pieces = [];
    let size = 0, wanted = 0;
    for (;;) {
      const piece = await readGiven();
      pieces.push(piece);
      size += piece.length;
      if (size < wanted) continue;
      all = pieces.length === 1 ? piece : Buffer.concat(pieces);
      const answer = parseAnswer(all);
      if (answer) {
        if (/close/i.test(answer.headers.connection || '')) dropGiven();
        return answer;
      }
      pieces.splice(0, pieces.length, all);
      wanted = sizeOf(all);
    }
  } catch (error) {
    dropGiven();
    if (all || !request.startsWith('GET ')) throw error;
  } finally {
    busy = false;
  }
  return exchange(request);  // nothing was answered, and nothing happens twice
}

// What an answer will have come to, 0 while nobody knows.
function sizeOf(bytes) {
  const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, 8192));
  const end = bytes.indexOf('\r\n\r\n');
  return length && end >= 0 ? end + 4 + Number(length[1]) : 0;
}

// The connection is kept, and holds the process only while an answer is awaited.
let connection = null;
let busy = false;

function exchange(request) {
  // An error that nobody caught may have to be told while the next event is awaited.
  return given >= 0 && !busy ? exchangeGiven(request) : exchangeOver(request, require('node:net'));
}

function exchangeOver(request, net) {
  return new Promise((resolve, reject) => {
    const once = busy;
    const socket = (!once && connection) || net.connect({ host: apiHost, port: Number(apiPort), noDelay: true });
    if (!once) {
      connection = socket;
      busy = true;
    }
    const pieces = [];
    let size = 0, wanted = 0;
    const done = (keep, settle, value) => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      if (!once) busy = false;
      if (keep && !once) {
        socket.on('close', () => { if (connection === socket) connection = null; });
        socket.unref();
      } else {
        if (connection === socket) connection = null;
        socket.destroy();
      }
      settle(value);
    };
    socket.removeAllListeners();
    socket.on('error', (error) => done(false, reject, error));
    socket.on('close', () => done(false, reject, new Error('the Runtime API closed the connection')));
    socket.on('data', (bytes) => {
      pieces.push(bytes);
      size += bytes.length;
      if (size < wanted) return;
      const all = pieces.length === 1 ? bytes : Buffer.concat(pieces);
      const answer = parseAnswer(all);
      if (answer) {
        done(!/close/i.test(answer.headers.connection || ''), resolve, answer);
        return;
      }
      pieces.splice(0, pieces.length, all);
      wanted = sizeOf(all);
    });
    socket.ref();
    socket.write(request);
  });
}

function call(method, target, { body, headers = {} } = {}) {
  let head = `${method} ${target} HTTP/1.1\r\nHost: ${apiHost}:${apiPort}\r\n`;
  for (const [name, value] of Object.entries(headers)) {
    head += `${name}: ${String(value).replace(/[^\x20-\x7e]/g, '?')}\r\n`;
  }
  if (body !== undefined) head += `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  return exchange(`${head}\r\n${body === undefined ? '' : body}`);
}

// console.* as AWS formats it: time, request id, level, message; line breaks become \r so that one call is one event.
const levels = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const lowest = levels[(process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()] || (jsonLogs ? 3 : 1);
function print(level, args) {
  if (levels[level] < lowest) return;
  const time = new Date().toISOString();
  if (jsonLogs) {
    const record = { timestamp: time, level, requestId: requestId || undefined };
    const error = args.find((each) => each instanceof Error);
    record.message = args.length === 1 && !(args[0] instanceof Error) ? args[0] : format(...args);
    if (error) Object.assign(record, { errorType: error.name, errorMessage: error.message,
      stackTrace: (error.stack || '').split('\n') });
    let line;
    try { line = JSON.stringify(record); } catch { line = JSON.stringify({ ...record, message: format(...args) }); }
    fs.writeSync(1, line + '\n');
    return;
  }
  fs.writeSync(1, `${time}\t${requestId || 'undefined'}\t${level}\t${format(...args).replace(/\n/g, '\r')}\n`);
}
console.log = (...args) => print('INFO', args);
console.info = (...args) => print('INFO', args);
console.debug = (...args) => print('DEBUG', args);
console.trace = (...args) => print('TRACE', args);
console.warn = (...args) => print('WARN', args);
console.error = (...args) => print('ERROR', args);

function toDocument(error) {
  if (error instanceof Error || (error && typeof error === 'object' && error.name && error.message !== undefined)) {
    return { errorType: String(error.name || 'Error'), errorMessage: String(error.message),
      trace: String(error.stack || '').split('\n') };
  }
  return { errorType: typeof error, errorMessage: error === undefined ? 'undefined' : String(error), trace: [] };
}

function logError(name, error) {
  if (jsonLogs) { print('ERROR', [error]); return; }
  const document = error instanceof Error ? { ...toDocument(error), ...error } : toDocument(error);
  const shown = { errorType: document.errorType, errorMessage: document.errorMessage, ...error,
    stack: document.trace };
  print('ERROR', [`${name} \t${JSON.stringify(shown)}`]);
}

// awslambda: what AWS puts into the global scope for streaming handlers.
const streaming = Symbol.for('aws.lambda.runtime.handler.streaming');
class HttpResponseStream {
  static from(stream, prelude) {
    stream.setContentType('application/vnd.awslambda.http-integration-response');
    stream.write(Buffer.concat([Buffer.from(JSON.stringify(prelude)), Buffer.alloc(8)]));
    return stream;
  }
}
globalThis.awslambda = {
  streamifyResponse: (handler, options) => {
    handler[streaming] = 'response';
    if (options && options.highWaterMark) handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] =
      options.highWaterMark;
    return handler;
  },
  HttpResponseStream,
};

function initError(type, message, cause) {
  const error = new Error(message);
  error.kind = `Runtime.${type}`;
  error.name = error.kind;
  if (cause) error.stack = cause.stack;
  return error;
}

const isMissing = (error, file) => (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND');

// Node.js looks for CommonJS modules in NODE_PATH's folders, AWS's runtimes for ES modules of layers as well.
function findModulesOfLayers() {
  const { register } = require('node:module');
  const parents = (process.env.NODE_PATH || '').split(':')
    .filter((folder) => folder.endsWith('/node_modules') && fs.existsSync(folder))
    .map((folder) => pathToFileURL(path.join(path.dirname(folder), 'index.mjs')).href);
  if (!register || parents.length === 0) return;
  const hook = `export async function resolve(specifier, context, next) {
    try {
      return await next(specifier, context);
    } catch (error) {
      if (error.code !== 'ERR_MODULE_NOT_FOUND' || /^[./]|:/.test(specifier)) throw error;
      for (const parentURL of ${JSON.stringify(parents)}) {
        try { return await next(specifier, { ...context, parentURL }); } catch { /* the next one */ }
      }
      throw error;
    }
  }`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
}

function importFile(file) {
  findModulesOfLayers();
  return import(pathToFileURL(file).href);
}

async function loadModule(root, moduleName) {
  const stem = path.resolve(root, moduleName);
  const found = ['.js', '.mjs', '.cjs', ''].map((ending) => stem + ending).find((file) => {
    try { return fs.statSync(file).isFile(); } catch { return false; }
  });
  try {
    if (found && found.endsWith('.mjs')) return await importFile(found);
    const require = createRequire(path.join(root, 'index.js'));
    if (found) {
      try {
        return require(found);
      } catch (error) {
        if (error.code === 'ERR_REQUIRE_ESM' ||
            (error instanceof SyntaxError && /import|export|await/.test(error.message) && isModulePackage(found))) {
          return await importFile(found);
        }
        throw error;
      }
    }
    return require(require.resolve(moduleName, { paths: [root, root + '/node_modules', '/opt/nodejs',
      '/opt/nodejs/node_modules'] }));
  } catch (error) {
    if (isMissing(error)) throw initError('ImportModuleError', `Error: ${error.message}`, error);
    if (error instanceof SyntaxError) throw initError('UserCodeSyntaxError', `SyntaxError: ${error.message}`, error);
    throw error;
  }
}

function isModulePackage(file) {
  let folder = path.dirname(file);
  while (true) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
    } catch { /* further up */ }
    const parent = path.dirname(folder);
    if (parent === folder) return false;
    folder = parent;
  }
}

async function loadHandler() {
  const name = process.env._HANDLER || '';
  const root = process.env.LAMBDA_TASK_ROOT || '/var/task';
  if (name.includes('..')) throw initError('MalformedHandlerName', `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const file = path.basename(name);
  const folder = name.slice(0, name.length - file.length);
  const match = file.match(/^([^.]*)\.(.*)$/);
  if (!match || !match[1] || !match[2]) throw initError('MalformedHandlerName', 'Bad handler');
  const loaded = await loadModule(root, path.join(folder, match[1]));
  const pick = (from) => match[2].split('.').reduce((value, key) => value && value[key], from);
  const handler = pick(loaded) ?? (loaded && loaded.default && pick(loaded.default));
  if (handler === undefined) throw initError('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw initError('HandlerNotFound', `${name} is not a function`);
  return handler;
}

function makeContext(headers, settle) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const parse = (text) => (text ? JSON.parse(text) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse(headers['lambda-runtime-client-context']),
    identity: parse(headers['lambda-runtime-cognito-identity']),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: (error, result) => settle(error, result),
    succeed: (result) => settle(null, result),
    fail: (error) => settle(error === undefined || error === null ? 'handled' : error),
  };
}

function whenLoopIsEmpty(action) {
  // Nothing but our own work may keep the process: 'beforeExit' comes when all else is done.
  process.once('beforeExit', action);
}

function runBuffered(handler, event, headers) {
  return new Promise((resolve, reject) => {
    let settled = false;
    const context = makeContext(headers, (error, result) => finish(error, result, false));
    function finish(error, result, wait) {
      if (settled) return;
      settled = true;
      const end = () => (error !== null && error !== undefined ? reject(error) : resolve(result));
      if (wait && context.callbackWaitsForEmptyEventLoop) whenLoopIsEmpty(end);
      else end();
    }
    let returned;
    try {
      returned = handler(event, context, (error, result) => finish(error, result, true));
    } catch (error) {
      reject(error);
      return;
    }
    if (returned && typeof returned.then === 'function') {
      returned.then((result) => finish(null, result, false), (error) => finish(error ?? 'undefined', undefined, false));
    } else if (handler.length < 3 && !settled) {
      // A synchronous handler that takes no callback: AWS answers null once the loop is empty.
      whenLoopIsEmpty(() => finish(null, returned === undefined ? null : undefined, false));
    } else if (!settled) {
      whenLoopIsEmpty(() => finish(null, null, false));
    }
  });
}

function runStreaming(handler, event, headers, id) {
  return new Promise((resolve, reject) => {
    const http = require('node:http');
    const out = new (require('node:stream').PassThrough)();
    let contentType = 'application/octet-stream';
    let request;
    const begin = () => {
      if (request) return;
      request = http.request({ host: apiHost, port: apiPort, method: 'POST',
        path: `${base}/invocation/${id}/response`,
        headers: { 'Content-Type': contentType, 'Lambda-Runtime-Function-Response-Mode': 'streaming',
          'Transfer-Encoding': 'chunked',
          Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body' } },
      (response) => { response.resume(); response.on('end', resolve); });
      request.on('error', reject);
    };
    out.setContentType = (type) => { contentType = type; };
    out.on('data', (chunk) => { begin(); if (!request.write(chunk)) { out.pause(); request.once('drain', () => out.resume()); } });
    out.on('end', () => { begin(); request.end(); });
    const fail = (error) => {
      if (!request) { reject(error); return; }
      const document = toDocument(error);
      request.addTrailers({ 'Lambda-Runtime-Function-Error-Type': `Runtime.${document.errorType}`,
        'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(document)).toString('base64') });
      request.end();
    };
    try {
      Promise.resolve(handler(event, out, makeContext(headers, () => {}))).catch(fail);
    } catch (error) {
      fail(error);
    }
  });
}

async function post(target, document, type) {
  await call('POST', target, { body: JSON.stringify(document),
    headers: { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': type } });
}

async function failFor(id, error) {
  const document = toDocument(error);
  logError('Invoke Error', error);
  await post(`${base}/invocation/${id}/error`, document, document.errorType.startsWith('Runtime.')
    ? document.errorType : `Runtime.${document.errorType}`);
}

async function runOne(handler) {
  const { status, headers, body } = await call('GET', `${base}/invocation/next`);
  if (status !== 200) return;
  requestId = headers['lambda-runtime-aws-request-id'];
  if (headers['lambda-runtime-trace-id']) process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
  const id = requestId;
  try {
    const event = JSON.parse(body.toString('utf8'));
    if (handler[streaming]) {
      await runStreaming(handler, event, headers, id);
      return;
    }
    const result = await runBuffered(handler, event, headers);
    let text = JSON.stringify(result === undefined ? null : result);
    if (text === undefined) text = 'null';
    await call('POST', `${base}/invocation/${id}/response`, { body: text,
      headers: { 'Content-Type': 'application/json' } });
  } catch (error) {
    await failFor(id, error);
  }
}

async function failInit(error) {
  const document = toDocument(error);
  const type = error && error.kind ? error.kind : `Runtime.${document.errorType}`;
  if (error && error.kind) document.errorType = error.kind;
  logError('Uncaught Exception', error);
  try { await post(`${base}/init/error`, document, type); } catch { /* nobody listens */ }
  process.exit(129);
}

process.on('uncaughtException', async (error) => {
  logError('Uncaught Exception', error);
  const document = toDocument(error);
  try {
    if (requestId) await post(`${base}/invocation/${requestId}/error`, document, 'Runtime.UncaughtException');
  } finally {
    process.exit(129);
  }
});
process.on('unhandledRejection', async (reason) => {
  const error = initError('UnhandledPromiseRejection', String(reason instanceof Error ? reason : `${reason}`),
    reason instanceof Error ? reason : undefined);
  logError('Unhandled Promise Rejection', error);
  try {
    if (requestId) await post(`${base}/invocation/${requestId}/error`, toDocument(error), error.kind);
  } finally {
    process.exit(128);
  }
});

async function main() {
  let handler;
  try {
    handler = await loadHandler();
  } catch (error) {
    await failInit(error);
  }
  for (;;) await runOne(handler);
}
// Not awaited: node would take an event loop that is empty for the end of a module that never loaded.
main().catch((error) => {
  logError('Runtime Error', error);
  process.exit(129);
});
