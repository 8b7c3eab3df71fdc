// openai-node: whole and streamed, errors, models; tools with runTools and structured output.

import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { URL, arrivals, assert, check, done, raises } from "./checks.mjs";

const client = new OpenAI({ baseURL: URL, apiKey: "demo", maxRetries: 0, timeout: 30_000 });
const say = (content) => [{ role: "user", content }];
const ask = (model, more = {}) => client.chat.completions.create({ model, messages: say("hi"), ...more });

await check("create", async () => {
  const answer = await client.chat.completions.create({ model: "demo-echo", messages: say("Hello, wörld 🌍") });
  assert.equal(answer.choices[0].message.content, "Hello, wörld 🌍");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

await check("create-stream", async () => {
  const times = arrivals();
  let text = "";
  for await (const chunk of await ask("demo-story", { stream: true })) {
    const piece = chunk.choices[0].delta.content;
    if (piece) times.note();
    text += piece ?? "";
  }
  assert.ok(text.endsWith("it did.\n"));
  times.tokenByToken();
});

await check("include-usage", async () => {
  const chunks = [];
  const stream = await ask("demo-echo", { stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) chunks.push(chunk);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

await check("many-at-once", async () => {
  const words = Array.from({ length: 16 }, (_, index) => `number ${index}`);
  const answers = await Promise.all(
    words.map((word) => client.chat.completions.create({ model: "demo-echo", messages: say(word) })),
  );
  assert.deepEqual(answers.map((answer) => answer.choices[0].message.content), words);
});

await check("abort", async () => {
  const stream = await ask("demo-story", { stream: true });
  for await (const _ of stream) break;
  assert.equal((await ask("demo-echo")).choices[0].message.content, "hi");
});

const ERRORS = {
  "bad-request": ["demo-error-http-400", OpenAI.BadRequestError, 400],
  authentication: ["demo-error-http-401", OpenAI.AuthenticationError, 401],
  points: ["demo-error-http-402", OpenAI.APIError, 402],
  permission: ["demo-error-http-403", OpenAI.PermissionDeniedError, 403],
  "not-found": ["there-is-no-such-bot", OpenAI.NotFoundError, 404],
  "rate-limit": ["demo-error-http-429", OpenAI.RateLimitError, 429],
  provider: ["demo-error-http-500", OpenAI.InternalServerError, 502],
  "too-long": ["demo-error-user_message_too_long", OpenAI.BadRequestError, 400],
};
for (const [name, [bot, kind, status]] of Object.entries(ERRORS)) {
  await check(`error-${name}`, () => raises(kind, { status }, () => ask(bot)));
  await check(`stream-error-${name}`, () =>
    raises(kind, { status }, async () => {
      for await (const _ of await ask(bot, { stream: true }));
    }),
  );
}

for (const bot of ["late", "truncated", "broken"]) {
  await check(`mid-stream-${bot}`, async () => {
    let text = "";
    await raises(OpenAI.APIError, {}, async () => {
      const model = bot === "late" ? "demo-error-late" : `demo-${bot}`;
      for await (const chunk of await ask(model, { stream: true })) text += chunk.choices[0].delta.content ?? "";
    });
    assert.ok(text.startsWith("This"), text);
  });
}

await check("wrong-key", () =>
  raises(OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" }, () =>
    client.withOptions({ apiKey: "wrong-key" }).chat.completions.create({ model: "demo-echo", messages: say("hi") }),
  ),
);

await check("models", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.ok(listed.includes("demo-story"));
  assert.equal((await client.models.retrieve("demo-story")).object, "model");
  await raises(OpenAI.NotFoundError, { status: 404 }, () => client.models.retrieve("there-is-no-such-bot"));
});

await check("stream-helper", async () => {
  const stream = client.chat.completions.stream({ model: "demo-echo", messages: say("hi") });
  assert.equal(await stream.finalContent(), "hi");
});

const weather = (calls) => ({
  type: "function",
  function: {
    name: "weather",
    description: "Weather of a city",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city"],
    },
    parse: JSON.parse,
    function: (given) => {
      calls.push(given);
      return "sunny & <warm>";
    },
  },
});

for (const [name, model] of Object.entries({ native: "demo-tools", xml: "demo-xml-tools" })) {
  for (const stream of [false, true]) {
    await check(`run-tools-${name}${stream ? "-streamed" : ""}`, async () => {
      const calls = [];
      const runner = client.chat.completions.runTools({
        model,
        stream,
        messages: say('the weather for city="New York" days=3'),
        tools: [weather(calls)],
      });
      assert.equal(await runner.finalContent(), "weather says: sunny & <warm>");
      assert.deepEqual(calls, [{ city: "New York", days: 3 }]);
    });
  }
}

await check("parse", async () => {
  const person = z.object({ name: z.string(), age: z.number() });
  const answer = await client.chat.completions.parse({
    model: "demo-json",
    messages: say("name=Ada age=36"),
    response_format: zodResponseFormat(person, "person"),
  });
  assert.deepEqual(answer.choices[0].message.parsed, { name: "Ada", age: 36 });
});

await check("video", async () => {
  const prompt = "an orange";
  const reference = await toFile(Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), "cat.png", { type: "image/png" });
  let video = await client.videos.create({ model: "demo-video", prompt, size: "1280x720", seconds: "4", input_reference: reference });
  while (video.status === "queued" || video.status === "in_progress") {
    await new Promise((resume) => setTimeout(resume, 100));
    video = await client.videos.retrieve(video.id);
  }
  assert.deepEqual([video.status, video.progress, video.seconds], ["completed", 100, "4"]);
  const content = await client.videos.downloadContent(video.id);
  assert.equal(content.headers.get("content-type"), "video/mp4");
  assert.equal(Buffer.from(await content.arrayBuffer()).toString("latin1", 4, 8), "ftyp");
  const listed = [];
  for await (const one of client.videos.list({ limit: 1 })) listed.push(one.id);
  assert.ok(listed.includes(video.id), String(listed));
  assert.equal((await client.videos.delete(video.id)).deleted, true);
  await raises(OpenAI.NotFoundError, { status: 404 }, () => client.videos.retrieve(video.id));
});

done();
