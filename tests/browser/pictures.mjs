// Screenshots for the README and docs/.

import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { assert, open, serve } from "./harness.mjs";

const YAML = `enable: true
models:
  demo-claude:
    mapping: claude
    aliases: [sonnet]
    parameters: {thinking_budget: 4096}
  demo-gpt:
    mapping: gpt
  demo-linger:
    enable: false
custom_models:
  - id: My-Private-Bot
    owned_by: Demo
`;

async function keep(page, name) {
  const path = fileURLToPath(new URL(`../../docs/${name}.png`, import.meta.url));
  await page.screenshot({ path });
  assert.ok(statSync(path).size < 150_000, `${name}.png has ${statSync(path).size} bytes`);
}

export async function pictures() {
  const server = await serve({ yaml: YAML });
  for (const model of ["claude", "gpt", "demo-story", "demo-echo", "demo-error-http-402"]) {
    await server.post("/v1/chat/completions", { model, max_tokens: 30, messages: [{ role: "user", content: "A few words, please." }] });
  }
  const { page, go } = await open(server, { context: { viewport: { width: 1280, height: 760 } } });
  await go("overview");
  await page.locator("#use").waitFor();
  await keep(page, "overview");
  await go("connect/claude");
  await page.locator("#snippet").waitFor();
  await keep(page, "connect");
  await go("models");
  await page.locator('.row[data-bot="demo-claude"] .open').click();
  await page.getByLabel("output_effort").selectOption({ label: "high" });
  await page.locator("#panel").evaluate((one) => one.scrollTo(0, 0));
  await keep(page, "models");
  await page.locator("#theme").selectOption("dark");
  await keep(page, "models-dark");
  await page.locator("#theme").selectOption("light");
  await page.locator("#undo-all").click();
  await go("chat/demo-think");
  await page.locator("#model2").fill("demo-echo");
  await page.locator("#say").fill("Compare **two models**:\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```js\nlet x = 1;\n```");
  await page.keyboard.press("Enter");
  await page.locator("#send").waitFor();
  await keep(page, "chat");
  const running = server.post("/v1/chat/completions", { model: "demo-story", stream: true, messages: [{ role: "user", content: "Tell me a story" }] }).catch(() => {});
  await go("activity");
  await page.locator("#running-rows tr").first().waitFor();
  await keep(page, "activity");
  const phone = await open(server, { context: { viewport: { width: 360, height: 720 }, colorScheme: "dark", deviceScaleFactor: 2 } });
  await phone.go("models");
  await phone.page.locator("#list .row[data-bot]").first().waitFor();
  await keep(phone.page, "phone");
  await phone.go("overview");
  await phone.page.locator("#use").waitFor();
  await keep(phone.page, "phone-overview");
  await running;
  // from here on clients need a key
  await server.post("/api/admin/keys", { name: "daughter", models: ["demo-*"], daily_points: 5000, note: "tablet" });
  await server.post("/api/admin/keys", { name: "class 7b", monthly_cost: 3.5, requests_per_minute: 20 });
  await go("keys");
  await page.locator("#keys").waitFor();
  await keep(page, "keys");
}
