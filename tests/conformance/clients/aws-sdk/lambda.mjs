// AWS's SDK for JavaScript against the functions' API: prints "ok NAME" for each check.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import {
  CreateAliasCommand, CreateFunctionCommand, DeleteFunctionCommand, GetFunctionCommand, GetFunctionConfigurationCommand,
  InvokeCommand, InvokeWithResponseStreamCommand, LambdaClient, PublishVersionCommand, PutFunctionConcurrencyCommand,
  TagResourceCommand, UpdateFunctionConfigurationCommand, paginateListFunctions, waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda';

const client = new LambdaClient({
  endpoint: process.env.ENDPOINT, region: 'eu-west-1', maxAttempts: 1,
  credentials: { accessKeyId: '123456789012', secretAccessKey: 'secret' },
});
const role = 'arn:aws:iam::123456789012:role/test';
const zip = fs.readFileSync(process.env.ZIP);
const text = (bytes) => Buffer.from(bytes).toString();
const patience = { client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };

async function check(name, work) {
  await work();
  console.log(`ok ${name}`);
}
const create = (name) => client.send(new CreateFunctionCommand({
  FunctionName: name, Runtime: 'provided.al2023', Handler: 'h', Role: role, Timeout: 20, Code: { ZipFile: zip } }));

await check('create and wait', async () => {
  const made = await create('sdk');
  assert.equal(made.FunctionArn, 'arn:aws:lambda:eu-west-1:123456789012:function:sdk');
  assert.equal(made.State, 'Pending');
  const waited = await waitUntilFunctionActiveV2(patience, { FunctionName: 'sdk' });
  assert.equal(waited.state, 'SUCCESS');
});
await check('invoke with the log', async () => {
  const answer = await client.send(new InvokeCommand({ FunctionName: 'sdk', Payload: '{"a":1}', LogType: 'Tail' }));
  assert.deepEqual([answer.StatusCode, JSON.parse(text(answer.Payload))], [200, { a: 1 }]);
  assert.match(Buffer.from(answer.LogResult, 'base64').toString(), /REPORT RequestId: /);
});
await check('an event that nobody waits for', async () => {
  const answer = await client.send(new InvokeCommand({ FunctionName: 'sdk', Payload: '{}', InvocationType: 'Event' }));
  assert.equal(answer.StatusCode, 202);
});
await check('a function that fails', async () => {
  await client.send(new UpdateFunctionConfigurationCommand({ FunctionName: 'sdk', Environment: { Variables: { FAIL_ON: 'fail' } } }));
  await waitUntilFunctionUpdatedV2(patience, { FunctionName: 'sdk' });
  const answer = await client.send(new InvokeCommand({ FunctionName: 'sdk', Payload: '{"fail":1}' }));
  assert.deepEqual([answer.StatusCode, answer.FunctionError], [200, 'Unhandled']);
});
await check('a response stream', async () => {
  const answer = await client.send(new InvokeWithResponseStreamCommand({ FunctionName: 'sdk', Payload: '{"b":2}' }));
  let payload = '', complete = false;
  for await (const event of answer.EventStream) {
    if (event.PayloadChunk) payload += text(event.PayloadChunk.Payload);
    if (event.InvokeComplete) complete = true;
  }
  assert.deepEqual([JSON.parse(payload), complete], [{ b: 2 }, true]);
});
await check('errors by their names', async () => {
  for (const [name, members] of [['ResourceNotFoundException', { FunctionName: 'none' }],
    ['ResourceNotFoundException', { FunctionName: 'sdk', Qualifier: '9' }]]) {
    await assert.rejects(client.send(new GetFunctionCommand(members)),
      (error) => error.name === name && error.$metadata.httpStatusCode === 404);
  }
  await assert.rejects(create('sdk'), (error) => error.name === 'ResourceConflictException');
});
await check('versions, aliases, tags', async () => {
  const version = await client.send(new PublishVersionCommand({ FunctionName: 'sdk' }));
  await client.send(new CreateAliasCommand({ FunctionName: 'sdk', Name: 'live', FunctionVersion: version.Version }));
  const found = await client.send(new GetFunctionConfigurationCommand({ FunctionName: 'sdk', Qualifier: 'live' }));
  assert.deepEqual([found.Version, found.CodeSha256], [version.Version, version.CodeSha256]);
  await client.send(new TagResourceCommand({ Resource: 'arn:aws:lambda:eu-west-1:123456789012:function:sdk', Tags: { team: 'a' } }));
  assert.deepEqual((await client.send(new GetFunctionCommand({ FunctionName: 'sdk' }))).Tags, { team: 'a' });
});
await check('lists by pages', async () => {
  for (const name of ['sdk-b', 'sdk-c']) await create(name);
  const names = [];
  for await (const page of paginateListFunctions({ client, pageSize: 1 }, {})) names.push(...page.Functions.map((each) => each.FunctionName));
  assert.deepEqual(names, ['sdk', 'sdk-b', 'sdk-c']);
});
await check('throttling', async () => {
  await client.send(new PutFunctionConcurrencyCommand({ FunctionName: 'sdk', ReservedConcurrentExecutions: 0 }));
  await assert.rejects(client.send(new InvokeCommand({ FunctionName: 'sdk', Payload: '{}' })),
    (error) => error.name === 'TooManyRequestsException' && error.$metadata.httpStatusCode === 429 &&
      error.Reason === 'ReservedFunctionConcurrentInvocationLimitExceeded');
});
await check('delete', async () => {
  for (const name of ['sdk', 'sdk-b', 'sdk-c']) await client.send(new DeleteFunctionCommand({ FunctionName: name }));
  await assert.rejects(client.send(new GetFunctionCommand({ FunctionName: 'sdk' })), { name: 'ResourceNotFoundException' });
});
