// The Vercel AI SDK with its provider for compatible servers: generateText, streamText, tools, objects.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

import { URL, arrivals, assert, check, done, raises } from "./checks.mjs";

const provider = createOpenAICompatible({
  name: "poe",
  baseURL: URL,
  apiKey: "demo",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const maxRetries = 0;
const prompt = 'the weather for city="New York" days=3';

await check("generate-text", async () => {
  const { text, usage, finishReason } = await generateText({ model: provider("demo-echo"), maxRetries, prompt: "hi" });
  assert.deepEqual([text, finishReason], ["hi", "stop"]);
  assert.ok(usage.outputTokens > 0);
});

await check("stream-text", async () => {
  const times = arrivals();
  const result = streamText({ model: provider("demo-story"), maxRetries, prompt: "a story" });
  let text = "";
  for await (const piece of result.textStream) {
    times.note();
    text += piece;
  }
  assert.ok(text.endsWith("it did.\n"));
  assert.ok((await result.usage).outputTokens > 100);
  times.tokenByToken();
});

await check("error", () =>
  raises(APICallError, { statusCode: 404 }, () =>
    generateText({ model: provider("there-is-no-such-bot"), maxRetries, prompt: "hi" }),
  ),
);

await check("mid-stream-error", async () => {
  let failed;
  const result = streamText({
    model: provider("demo-error-late"),
    maxRetries,
    prompt: "hi",
    onError: ({ error }) => {
      failed = error;
    },
  });
  for await (const _ of result.fullStream);
  assert.ok(failed, "no error was reported");
});

await check("reasoning", async () => {
  const { text, reasoningText } = await generateText({ model: provider("demo-think"), maxRetries, prompt: "hi" });
  assert.ok(reasoningText?.length > 0, `no reasoning, but the text ${text}`);
  assert.ok(!text.includes("Thinking..."));
});

for (const [name, model] of Object.entries({ native: "demo-tools", xml: "demo-xml-tools" })) {
  for (const run of [generateText, streamText]) {
    await check(`tools-${name}-${run === streamText ? "streamed" : "whole"}`, async () => {
      const calls = [];
      const weather = tool({
        description: "Weather of a city",
        inputSchema: z.object({ city: z.string(), days: z.number().int() }),
        execute: async (given) => {
          calls.push(given);
          return "sunny & <warm>";
        },
      });
      const result = run({ model: provider(model), maxRetries, prompt, tools: { weather }, stopWhen: stepCountIs(3) });
      const text = run === streamText ? await result.text : (await result).text;
      assert.deepEqual(calls, [{ city: "New York", days: 3 }]);
      assert.ok(text.includes("sunny & <warm>"), text);
    });
  }
}

const schema = z.object({ name: z.string(), age: z.number() });

await check("generate-object", async () => {
  const { object } = await generateObject({ model: provider("demo-json"), maxRetries, schema, prompt: "name=Ada age=36" });
  assert.deepEqual(object, { name: "Ada", age: 36 });
});

await check("stream-object", async () => {
  const result = streamObject({ model: provider("demo-json"), maxRetries, schema, prompt: "name=Ada age=36" });
  for await (const _ of result.partialObjectStream);
  assert.deepEqual(await result.object, { name: "Ada", age: 36 });
});

done();
