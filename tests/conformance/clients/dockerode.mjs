// dockerode, the Node.js library most others build upon, against the engine of DOCKER_HOST. IMAGE is there.
import assert from "node:assert/strict";
import {PassThrough, Writable} from "node:stream";
import Docker from "dockerode";

const docker = new Docker({socketPath: process.env.DOCKER_HOST.replace("unix://", "")});
const image = process.env.IMAGE;

async function check(name, body) {
  await body();
  console.log(`ok ${name}`);
}

function collector() {
  const chunks = [];
  const stream = new Writable({write: (chunk, _, done) => { chunks.push(chunk); done(); }});
  return [stream, () => Buffer.concat(chunks).toString()];
}
async function until(check) {
  for (let i = 0; i < 1000 && !check(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
}
const ended = (stream) => new Promise((resolve, reject) => stream.on("end", resolve).on("close", resolve).on("error", reject));

await check("ping, version, info", async () => {
  assert.equal((await docker.ping()).toString(), "OK");
  assert.equal((await docker.info()).OSType, "linux");
  assert.ok((await docker.version()).ApiVersion);
});
await check("run with output apart", async () => {
  const [out, outText] = collector();
  const [error, errorText] = collector();
  const [result, container] = await docker.run(image, ["sh", "-c", "echo out; echo err >&2; exit 3"], [out, error], {Tty: false});
  // run() waits for the container's end, not for that of its output.
  await until(() => outText() && errorText());
  assert.deepEqual([result.StatusCode, outText(), errorText()], [3, "out\n", "err\n"]);
  await container.remove();
});
await check("create, start, inspect, stats, top, stop, wait, remove", async () => {
  const container = await docker.createContainer({Image: image, name: "dockerode-life", Cmd: ["sleep", "1000"], Labels: {a: "b"}, HostConfig: {Memory: 64 << 20}});
  await container.start();
  const details = await container.inspect();
  assert.equal(details.State.Running, true);
  assert.equal(details.HostConfig.Memory, 64 << 20);
  assert.ok((await container.stats({stream: false})).memory_stats.usage > 0);
  assert.equal((await container.top()).Processes.length, 1);
  const found = await docker.listContainers({filters: {label: ["a=b"]}});
  assert.equal(found[0].Names[0], "/dockerode-life");
  await container.stop({t: 0});
  assert.equal((await container.wait()).StatusCode, 137);
  await assert.rejects(container.stop(), (error) => error.statusCode === 304);
  await container.remove();
  await assert.rejects(container.inspect(), (error) => error.statusCode === 404);
});
await check("exec with input, attached", async () => {
  const container = await docker.createContainer({Image: image, Cmd: ["sleep", "1000"]});
  await container.start();
  const exec = await container.exec({Cmd: ["sh", "-c", "read line; echo got $line"], AttachStdin: true, AttachStdout: true, AttachStderr: true});
  const stream = await exec.start({hijack: true, stdin: true});
  const out = new PassThrough();
  docker.modem.demuxStream(stream, out, process.stderr);
  let text = "";
  out.on("data", (chunk) => { text += chunk; });
  stream.write("hello\n");
  await ended(stream);
  assert.equal(text, "got hello\n");
  assert.equal((await exec.inspect()).ExitCode, 0);
  await container.remove({force: true});
});
await check("attach to a terminal, resize", async () => {
  const container = await docker.createContainer({Image: image, Cmd: ["sh", "-c", "read go; stty size"], Tty: true, OpenStdin: true, StdinOnce: true});
  const stream = await container.attach({stream: true, stdin: true, stdout: true, stderr: true, hijack: true});
  let text = "";
  stream.on("data", (chunk) => { text += chunk; });
  await container.start();
  await container.resize({h: 33, w: 99});
  stream.write("go\n");
  await ended(stream);
  assert.match(text, /33 99/);
  await container.remove();
});
await check("logs, followed", async () => {
  const container = await docker.createContainer({Image: image, Cmd: ["sh", "-c", "echo one; sleep 0.3; echo two"]});
  await container.start();
  const stream = await container.logs({follow: true, stdout: true, stderr: true});
  const out = new PassThrough();
  container.modem.demuxStream(stream, out, out);
  let text = "";
  out.on("data", (chunk) => { text += chunk; });
  await ended(stream);
  assert.equal(text, "one\ntwo\n");
  await container.remove();
});
await check("events", async () => {
  const stream = await docker.getEvents({filters: {type: ["container"], event: ["die"]}});
  const event = new Promise((resolve) => stream.on("data", (chunk) => resolve(JSON.parse(chunk))));
  const [, container] = await docker.run(image, ["sh", "-c", "exit 5"], new PassThrough());
  assert.equal((await event).Actor.Attributes.exitCode, "5");
  stream.destroy();
  await container.remove();
});
await check("networks and volumes", async () => {
  const network = await docker.createNetwork({Name: "dockerode-net", CheckDuplicate: true});
  const volume = await docker.createVolume({Name: "dockerode-vol", Labels: {x: "y"}});
  const container = await docker.createContainer({Image: image, Cmd: ["sh", "-c", "echo kept > /data/file"], HostConfig: {Binds: ["dockerode-vol:/data"], NetworkMode: "dockerode-net"}});
  await container.start();
  await container.wait();
  const out = new PassThrough();
  let text = "";
  out.on("data", (chunk) => { text += chunk; });
  const [, reader] = await docker.run(image, ["cat", "/data/file"], out, {HostConfig: {Binds: ["dockerode-vol:/data:ro"]}});
  await until(() => text);
  assert.equal(text.trim(), "kept");
  await container.remove();
  await reader.remove();
  await network.remove();
  await volume.remove();
});
await check("files in and out", async () => {
  const container = await docker.createContainer({Image: image, Cmd: ["true"]});
  const archive = await container.getArchive({path: "/etc/passwd"});
  const chunks = [];
  for await (const chunk of archive) chunks.push(chunk);
  assert.ok(Buffer.concat(chunks).includes("root"));
  await container.putArchive(Buffer.concat(chunks), {path: "/tmp"});
  const stat = await container.infoArchive({path: "/tmp/passwd"});
  assert.ok(stat);
  await container.remove();
});
await check("images", async () => {
  const details = await docker.getImage(image).inspect();
  await docker.getImage(image).tag({repo: "dockerode-tag", tag: "1"});
  assert.equal((await docker.getImage("dockerode-tag:1").inspect()).Id, details.Id);
  await docker.getImage("dockerode-tag:1").remove();
  await assert.rejects(docker.getImage("dockerode-tag:1").inspect(), (error) => error.statusCode === 404);
});

process.exit(0);  // streams that were left open would keep Node.js waiting
