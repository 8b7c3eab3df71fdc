// Shared code of the JavaScript checks: `check(name, async () => …)` runs in order, `done()` ends the script.

import assert from "node:assert/strict";

export const URL = process.env.BASE_URL;
const SECONDS = 60;
const only = process.argv.slice(2);

export { assert };

export async function check(name, body) {
  if (only.length && !only.includes(name)) return;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${SECONDS} s`)), SECONDS * 1000);
  });
  try {
    await Promise.race([body(), late]);
    console.log(`ok ${name}`);
  } catch (error) {
    console.error(`--- ${name}\n`, error);
    console.log(`not ok ${name}: ${`${error?.name}: ${error?.message}`.replace(/\s+/g, " ")}`);
  } finally {
    clearTimeout(timer);
  }
}

export function done() {
  process.exit(0);
}

// Raised by the block: of this class, with these fields.
export async function raises(kind, fields, block) {
  const error = await block().then(
    () => assert.fail(`${kind.name} was not raised`),
    (error) => error,
  );
  assert.ok(error instanceof kind, `${error?.constructor?.name} (${error?.message}) was raised, not ${kind.name}`);
  for (const [name, value] of Object.entries(fields)) assert.deepEqual(error[name], value, name);
  return error;
}

// demo-story takes 5 s: chunks must arrive one by one, not at the end.
export function arrivals() {
  const times = [];
  return {
    note: () => times.push(performance.now()),
    tokenByToken() {
      assert.ok(times.length > 100, `only ${times.length} pieces`);
      const span = times.at(-1) - times[0];
      assert.ok(span > 2500, `all pieces within ${span} ms`);
    },
  };
}
