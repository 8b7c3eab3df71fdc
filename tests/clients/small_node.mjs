// openai-node beside chats: legacy completions, pictures, speech, and unsupported endpoints.

import OpenAI, { toFile } from "openai";

import { URL, arrivals, assert, check, done, raises } from "./checks.mjs";

const client = new OpenAI({ baseURL: URL, apiKey: "demo", maxRetries: 0, timeout: 30_000 });
const PNG = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
const isPng = (base64) => Buffer.from(base64, "base64").subarray(0, 8).equals(PNG);

await check("completion", async () => {
  const answer = await client.completions.create({ model: "demo-echo", prompt: "Once upon", echo: true });
  assert.equal(answer.choices[0].text, "Once uponOnce upon");
  assert.equal(answer.object, "text_completion");
});

await check("completion-list", async () => {
  const answer = await client.completions.create({ model: "demo-echo", prompt: ["a", "b"], n: 2 });
  assert.deepEqual(answer.choices.map((choice) => choice.text), ["a", "a", "b", "b"]);
});

await check("completion-stream", async () => {
  const times = arrivals();
  let text = "";
  for await (const chunk of await client.completions.create({ model: "demo-story", prompt: "Once", stream: true })) {
    if (chunk.choices[0].text) times.note();
    text += chunk.choices[0].text;
  }
  assert.ok(text.endsWith("it did.\n"));
  times.tokenByToken();
});

await check("image", async () => {
  const answer = await client.images.generate({ model: "demo-painter", prompt: "a cat", size: "1024x1536" });
  assert.ok(answer.data[0].url.endsWith("/art/cat.png"));
});

await check("image-edit", async () => {
  const image = await toFile(PNG, "cat.png", { type: "image/png" });
  const answer = await client.images.edit({ model: "demo-painter", image, prompt: "a hat", response_format: "b64_json" });
  assert.ok(isPng(answer.data[0].b64_json));
});

await check("speech", async () => {
  const answer = await client.audio.speech.create({ model: "demo-voice", input: "hello", voice: "alloy" });
  const sound = Buffer.from(await answer.arrayBuffer());
  assert.equal(sound.subarray(0, 4).toString(), "RIFF");
});

await check("embeddings-not-served", () =>
  raises(OpenAI.NotFoundError, { status: 404, code: "not_found" }, () =>
    client.embeddings.create({ model: "m", input: "x" }),
  ),
);

done();
