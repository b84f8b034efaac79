// testcontainers for Node.js against the engine of DOCKER_HOST. Its reaper is an image of a registry, so it is off.
import assert from "node:assert/strict";
import {GenericContainer, Network, Wait} from "testcontainers";

const image = process.env.IMAGE;
// The library's log streams do not keep the process alive by themselves.
setInterval(() => {}, 1000);

async function check(name, body) {
  await body();
  console.log(`ok ${name}`);
}

await check("wait for a line, exec, logs, copy, stop", async () => {
  const container = await new GenericContainer(image).withCommand(["sh", "-c", "echo ready; sleep 1000"]).withEnvironment({A: "b"})
    .withCopyContentToContainer([{content: "text", target: "/tmp/file"}]).withWaitStrategy(Wait.forLogMessage("ready")).start();
  const {output, exitCode} = await container.exec(["sh", "-c", "echo $A; cat /tmp/file; exit 4"]);
  assert.deepEqual([output, exitCode], ["b\ntext", 4]);
  const logs = await container.logs();
  const first = await new Promise((resolve) => logs.once("data", resolve));
  assert.match(String(first), /ready/);
  logs.destroy();
  await container.stop();
});
await check("wait for a port", async () => {
  const container = await new GenericContainer(image).withCommand(["sh", "-c", "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; exec busybox httpd -f -p 80 -h /tmp/www"])
    .withExposedPorts(80).withWaitStrategy(Wait.forHttp("/", 80)).start();
  const answer = await fetch(`http://${container.getHost()}:${container.getMappedPort(80)}/`);
  assert.equal(await answer.text(), "hello\n");
  await container.restart();
  await container.stop();
});
await check("wait for health", async () => {
  const container = await new GenericContainer(image).withCommand(["sleep", "1000"])
    .withHealthCheck({test: ["CMD", "true"], interval: 200, timeout: 5000, retries: 3}).withWaitStrategy(Wait.forHealthCheck()).start();
  await container.stop();
});
await check("a network with aliases", async () => {
  const network = await new Network().start();
  const server = await new GenericContainer(image).withCommand(["sh", "-c", "mkdir -p /tmp/www; echo hi > /tmp/www/index.html; exec busybox httpd -f -p 80 -h /tmp/www"])
    .withNetwork(network).withNetworkAliases("server").start();
  const client = await new GenericContainer(image).withCommand(["sleep", "1000"]).withNetwork(network).start();
  let output = "";
  for (let i = 0; i < 100 && output !== "hi\n"; i++) ({output} = await client.exec(["wget", "-qO-", "http://server/"]));
  assert.equal(output.trim(), "hi");
  await client.stop();
  await server.stop();
  await network.stop();
});
await check("a failing start says so", async () => {
  await assert.rejects(new GenericContainer(image).withCommand(["no-such-program"]).start());
});

process.exit(0);
