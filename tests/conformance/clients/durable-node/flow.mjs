// A durable function as AWS's SDK for JavaScript has them: one of each of its operations, as durable/flow.py.
import {appendFileSync, statSync} from 'node:fs';
import {createRetryStrategy, withDurableExecution} from '@aws/durable-execution-sdk-js';

const tries = '/tmp/tries'; // of this sandbox: the step's attempts come to it one after the other
const one = {seconds: 1};

async function flaky() {
  appendFileSync(tries, 'x');
  if (statSync(tries).size < 3) throw new Error('not yet');
  return statSync(tries).size;
}

export const handler = withDurableExecution(async (event, context) => {
  const again = createRetryStrategy({maxAttempts: 5, initialDelay: one, maxDelay: one});
  const results = {step: await context.step('first', async () => ({n: event.n}))};
  await context.wait('pause', one);
  results.flaky = await context.step('flaky', flaky, {retryStrategy: again});
  results.child = await context.runInChildContext('child', (child) => child.step('inner', async () => 'inner'));
  const branches = await context.parallel([
    (branch) => branch.step(async () => 1),
    async (branch) => {
      await branch.wait(one);
      return null;
    },
  ]);
  results.parallel = branches.getResults();
  results.map = (await context.map([1, 2, 3], (each, item) => each.step(async () => item * 10))).getResults();
  results.condition = await context.waitForCondition(async (state) => state + 1, {
    initialState: 0,
    waitStrategy: (state) => (state >= 3 ? {shouldContinue: false} : {shouldContinue: true, delay: one}),
  });
  results.invoke = await context.invoke('other', event.other, {to: 'other'});
  results.callback = await context.waitForCallback('approval', async (id) => console.log(`CALLBACK ${id}`));
  if (event.large) results.large = 'y'.repeat(event.large);
  if (event.fail) throw new Error(event.fail);
  return results;
});
