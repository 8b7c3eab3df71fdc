// openai-node on Responses: whole and streamed, tools, structured output, conversations, errors.

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { URL, arrivals, assert, check, done, raises } from "./checks.mjs";

const client = new OpenAI({ baseURL: URL, apiKey: "demo", maxRetries: 0, timeout: 30_000 });
const ask = (model, more = {}) => client.responses.create({ model, input: "hi", ...more });
const weather = {
  type: "function",
  name: "weather",
  description: "Weather of a city",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city"],
    additionalProperties: false,
  },
};

await check("create", async () => {
  const answer = await ask("demo-echo", { input: "Hello, wörld 🌍" });
  assert.equal(answer.output_text, "Hello, wörld 🌍");
  assert.deepEqual([answer.object, answer.status, answer.error], ["response", "completed", null]);
  assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
});

await check("create-stream", async () => {
  const times = arrivals();
  let [text, number, last] = ["", 0, undefined];
  for await (const event of await ask("demo-story", { stream: true })) {
    assert.equal(event.sequence_number, number++);
    if (event.type === "response.output_text.delta") {
      times.note();
      text += event.delta;
    }
    last = event;
  }
  assert.equal(last.type, "response.completed");
  assert.equal(last.response.output[0].content[0].text, text);
  times.tokenByToken();
});

await check("stream-helper", async () => {
  const stream = client.responses.stream({ model: "demo-think", input: "Why?" });
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const answer = await stream.finalResponse();
  assert.equal(answer.output_text, text);
  assert.deepEqual(answer.output.map((item) => item.type), ["reasoning", "message"]);
});

for (const [kind, model] of [["native", "demo-tools"], ["xml", "demo-xml-tools"]]) {
  await check(`tools-loop-${kind}`, async () => {
    const input = [{ role: "user", content: 'the weather for city="New York" days=3' }];
    const first = await client.responses.stream({ model, input, tools: [weather] }).finalResponse();
    const call = first.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "New York", days: 3 });
    input.push(...first.output.map(({ parsed_arguments, ...item }) => item));
    input.push({ type: "function_call_output", call_id: call.call_id, output: "sunny & <warm>" });
    const second = await client.responses.create({ model, input, tools: [weather] });
    assert.equal(second.output_text, "weather says: sunny & <warm>");
  });
}

await check("parse", async () => {
  const person = z.object({ name: z.string(), age: z.number() });
  const text = { format: zodTextFormat(person, "person") };
  const answer = await client.responses.parse({ model: "demo-json", input: "name=Ada age=36", text });
  assert.deepEqual(answer.output_parsed, { name: "Ada", age: 36 });
});

await check("previous-response", async () => {
  const first = await ask("demo-query", { input: "one" });
  const second = await ask("demo-query", { input: "two", previous_response_id: first.id });
  const turns = JSON.parse(second.output_text).query.map((turn) => [turn.role, turn.content]);
  assert.deepEqual(turns, [["user", "one"], ["bot", first.output_text], ["user", "two"]]);
  const items = await client.responses.inputItems.list(second.id, { order: "asc" });
  assert.deepEqual(items.data.map((item) => item.role), ["user", "assistant", "user"]);
  assert.deepEqual((await client.responses.retrieve(second.id)).output, second.output);
  await client.responses.delete(first.id);
  await raises(OpenAI.NotFoundError, { status: 404 }, () => client.responses.retrieve(first.id));
  const fields = { status: 400, code: "previous_response_not_found", param: "previous_response_id" };
  await raises(OpenAI.BadRequestError, fields, () => ask("demo-echo", { previous_response_id: first.id }));
});

// The AI SDK and others send stored items by id only.
await check("item-reference", async () => {
  const first = await ask("demo-echo", { input: "remember me" });
  const input = [{ type: "item_reference", id: first.output[0].id }, { role: "user", content: "two" }];
  const second = await ask("demo-query", { input });
  const turns = JSON.parse(second.output_text).query.map((turn) => [turn.role, turn.content]);
  assert.deepEqual(turns, [["bot", "remember me"], ["user", "two"]]);
});

for (const [name, model, kind, fields] of [
  ["points", "demo-error-http-402", OpenAI.APIError, { status: 402, code: "insufficient_quota" }],
  ["length", "demo-error-user_message_too_long", OpenAI.BadRequestError, { code: "context_length_exceeded" }],
  ["limit", "demo-error-http-429", OpenAI.RateLimitError, { code: "rate_limit_exceeded" }],
  ["nobody", "demo-error-http-404", OpenAI.NotFoundError, { code: "model_not_found" }],
]) {
  await check(`error-${name}`, async () => {
    await raises(kind, fields, () => ask(model));
    await raises(kind, fields, () => ask(model, { stream: true }));
  });
}

await check("error-late", async () => {
  const events = [];
  for await (const event of await ask("demo-error-late", { stream: true })) events.push(event);
  assert.deepEqual(events.slice(-2).map((event) => event.type), ["error", "response.failed"]);
  assert.equal(events.at(-1).response.error.code, "server_error");
});

done();
