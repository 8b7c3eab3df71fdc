// @anthropic-ai/sdk: whole and streamed, tools with the runner, thought, pictures, counts, errors.

import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";

import { URL, arrivals, assert, check, done, raises } from "./checks.mjs";

const baseURL = URL.replace(/\/v1$/, "");
const client = new Anthropic({ baseURL, apiKey: "demo", maxRetries: 0, timeout: 30_000 });
const say = (content) => [{ role: "user", content }];
const ask = (model, more = {}) => client.messages.create({ model, max_tokens: 1000, messages: say("hi"), ...more });
const text = (message) => message.content.map((block) => block.text ?? "").join("");
const CITY = {
  name: "weather",
  description: "Weather of a city",
  input_schema: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city"],
  },
};

await check("create", async () => {
  const message = await ask("demo-echo", { messages: say("Hello, wörld 🌍"), system: "Be brief." });
  assert.equal(message.content[0].text, "Hello, wörld 🌍");
  assert.deepEqual([message.type, message.role, message.stop_reason], ["message", "assistant", "end_turn"]);
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
});

await check("raw-stream", async () => {
  const names = [];
  for await (const event of await ask("demo-echo", { stream: true })) names.push(event.type);
  assert.deepEqual(names.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
});

await check("stream-helper", async () => {
  const times = arrivals();
  let said = "";
  const stream = client.messages.stream({ model: "demo-story", max_tokens: 5000, messages: say("a story") });
  stream.on("text", (piece) => {
    times.note();
    said += piece;
  });
  const message = await stream.finalMessage();
  assert.equal(text(message), said);
  assert.ok(said.endsWith("it did.\n"));
  times.tokenByToken();
});

await check("abort", async () => {
  const stream = client.messages.stream({ model: "demo-story", max_tokens: 5000, messages: say("x") });
  for await (const _ of stream) break;
  assert.equal(text(await ask("demo-echo")), "hi");
});

await check("thinking", async () => {
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const message = await ask("demo-think", { thinking, max_tokens: 2048 });
  assert.deepEqual(message.content.map((block) => block.type), ["thinking", "text"]);
  const stream = client.messages.stream({ model: "demo-think", max_tokens: 2048, thinking, messages: say("hi") });
  const streamed = await stream.finalMessage();
  assert.deepEqual(streamed.content, message.content);
  assert.ok(streamed.content[0].signature);
});

for (const [row, bot] of Object.entries({ native: "demo-tools", xml: "demo-xml-tools" })) {
  await check(`tool-loop-${row}`, async () => {
    const messages = say('the weather for city="New York" days=3');
    const tools = [CITY];
    const first = await client.messages.stream({ model: bot, max_tokens: 500, messages, tools }).finalMessage();
    assert.equal(first.stop_reason, "tool_use");
    const call = first.content.find((block) => block.type === "tool_use");
    assert.deepEqual([call.name, call.input], ["weather", { city: "New York", days: 3 }]);
    messages.push({ role: "assistant", content: first.content });
    messages.push(...say([{ type: "tool_result", tool_use_id: call.id, content: "sunny & <warm>" }]));
    assert.equal(text(await ask(bot, { messages, tools })), "weather says: sunny & <warm>");
  });

  for (const stream of [false, true]) {
    await check(`tool-runner-${row}${stream ? "-streamed" : ""}`, async () => {
      const called = [];
      const weather = betaZodTool({
        name: "weather",
        description: "Weather of a city",
        inputSchema: z.object({ city: z.string(), days: z.number().int() }),
        run: ({ city, days }) => {
          called.push([city, days]);
          return `sunny in ${city}`;
        },
      });
      const messages = say('city="New York" days=3');
      const last = await client.beta.messages
        .toolRunner({ model: bot, max_tokens: 500, messages, tools: [weather], stream })
        .runUntilDone();
      assert.deepEqual(called, [["New York", 3]]);
      assert.equal(text(last), "weather says: sunny in New York");
    });
  }
}

await check("pictures", async () => {
  const data = Buffer.from("89504e470d0a1a0a0000000d4948445200000300000001000802000000", "hex").toString("base64");
  const picture = { type: "image", source: { type: "base64", media_type: "image/png", data } };
  const link = { type: "image", source: { type: "url", url: "https://example.com/cat.jpg" } };
  const said = text(await ask("demo-echo", { messages: say([picture, link, { type: "text", text: "what?" }]) }));
  assert.ok(said.includes("what?") && said.includes("image/png"), said);
});

await check("count-tokens", async () => {
  const count = async (more) =>
    (await client.messages.countTokens({ model: "demo-echo", messages: say("hi"), ...more })).input_tokens;
  const words = await count({});
  assert.ok(words > 0);
  assert.ok((await count({ tools: [CITY] })) > words);
  assert.equal((await ask("demo-echo")).usage.input_tokens, words);
});

const ERRORS = {
  "bad-request": ["demo-error-http-400", Anthropic.BadRequestError, 400],
  authentication: ["demo-error-http-401", Anthropic.AuthenticationError, 401],
  points: ["demo-error-http-402", Anthropic.APIError, 402],
  permission: ["demo-error-http-403", Anthropic.PermissionDeniedError, 403],
  "not-found": ["there-is-no-such-bot", Anthropic.NotFoundError, 404],
  "rate-limit": ["demo-error-http-429", Anthropic.RateLimitError, 429],
  provider: ["demo-error-http-500", Anthropic.InternalServerError, 502],
  "too-long": ["demo-error-user_message_too_long", Anthropic.BadRequestError, 400],
};

for (const [row, [bot, kind, status]] of Object.entries(ERRORS)) {
  await check(`error-${row}`, () => raises(kind, { status }, () => ask(bot)));
  await check(`stream-error-${row}`, () => raises(kind, { status }, () => ask(bot, { stream: true })));
}

await check("mid-stream", async () => {
  let said = "";
  const read = async () => {
    for await (const event of await ask("demo-error-late", { stream: true })) said += event.delta?.text ?? "";
  };
  await raises(Anthropic.APIError, {}, read);
  assert.ok(said.startsWith("This"), said);
});

await check("timeout", async () => {
  await raises(Anthropic.APIConnectionTimeoutError, {}, () =>
    client.messages.create(
      { model: "demo-slow-start", max_tokens: 9, messages: say("x") },
      { timeout: 1000 },
    ),
  );
});

await check("models", async () => {
  const listed = new Set();
  for await (const model of client.models.list({ limit: 1000 })) listed.add(model.id);
  assert.ok(listed.has("demo-echo") && listed.has("demo-claude"));
});

done();
