// Stories of the Connect tab and of the first steps without a key.

import { execFileSync } from "node:child_process";

import { assert, demoOf, open, queriesOf, serve } from "./harness.mjs";
import { start } from "./steps.mjs";

const PROGRAMS = ["Claude Code", "Codex", "Cline / Roo / Kilo", "Cursor", "opencode", "Continue", "Zed", "aider", "llm", "Cherry Studio", "Open WebUI", "LobeChat", "NextChat", "SillyTavern", "n8n",
  "LangChain", "curl", "Python", "Node"];

async function texts(page) {
  const found = {};
  for (const chip of await page.locator(".tab.connect .chip").all()) {
    await chip.click();
    found[await chip.textContent()] = await page.locator("#snippet").textContent();
  }
  return found;
}

export const stories = [
  ["connect: ready settings for each program, with the address, the key and the model", async () => {
    const { server, page, context, clean } = await start("connect/demo-gpt");
    await page.locator("#client-key").fill("a key with 'quotes'");
    const all = await texts(page);
    assert.deepEqual(Object.keys(all), PROGRAMS);
    for (const [name, text] of Object.entries(all)) {
      assert.ok(!text.includes("{{"), `${name}: ${text}`);
      assert.ok(text.includes("host.docker.internal") || text.includes(server.url), `${name}: ${text}`);
      assert.ok(name === "Open WebUI" || text.includes("demo-gpt"), `${name}: ${text}`);
      assert.ok(["Codex", "Zed"].includes(name) || /a key with '(quotes'|\\''quotes'\\'')/.test(text), `${name}: ${text}`);
    }
    for (const name of ["opencode", "Zed"]) JSON.parse(all[name]);
    await page.locator(".chip", { hasText: "Codex" }).click();
    assert.match(await page.locator("#variable").textContent(), /^export POE_KEY='a key with/);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.locator("#snippet-copy").click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), all.Codex);
    clean();
  }],

  ["connect: the command for curl works as it is", async () => {
    const { server, page, clean } = await start("connect/demo-echo");
    await page.locator("#client-key").fill("demo");
    const { curl } = await texts(page);
    const answer = JSON.parse(execFileSync("bash", ["-c", curl.replace("curl ", "curl -s ")]).toString());
    assert.equal(answer.choices[0].message.content, "Hello");
    assert.equal((await queriesOf(server)).at(-1).bot, "demo-echo");
    clean();
  }],

  ["connect: a name with quotes stays one word in every language of the texts", async () => {
    const nasty = `it's "a" $(touch x) \`y\` \\ model`;
    const { page, clean } = await start("connect");
    await page.locator("#model").fill(nasty);
    const all = await texts(page);
    const said = execFileSync("bash", ["-c", all["Claude Code"].replace("\nclaude", '\nprintf %s "$ANTHROPIC_MODEL"')]).toString();
    assert.equal(said, nasty);
    assert.equal(JSON.parse(all.opencode).model, `poe/${nasty}`);
    assert.ok(all.Python.includes(JSON.stringify(nasty)));
    clean();
  }],

  ["first steps: without a key on the server a guide says what to do, and the key can be checked", async () => {
    const poe = await serve();
    const server = await serve({ flags: ["--poe-base-url", await demoOf(poe)] });
    const { page, go, faults } = await open(server);
    await go("overview");
    await page.locator(".guide").waitFor();
    assert.equal(await page.locator(".guide a").getAttribute("href"), "https://poe.com/api/keys");
    await page.locator("#first-key").fill("wrong-key");
    await page.locator("#check-key").click();
    await page.locator(".guide .notice.bad").waitFor();
    await page.locator("#first-key").fill("a-key-of-mine");
    await page.keyboard.press("Enter");
    await page.locator(".guide .notice.good").waitFor();
    assert.match(await page.locator(".guide .notice.good").textContent(), /[\d,]+ points left, \d+ models/);
    assert.match(await page.locator("#server-key").textContent(), /POE_API_KEY/);
    assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("a-key-of-mine"));
    await go("connect");
    await page.locator(".guide").waitFor();
    assert.ok(faults.length === 1 && faults[0].includes("401"), String(faults));
    const keyed = await open(poe);
    await keyed.go("connect");
    await keyed.page.locator("#snippet").waitFor();
    assert.equal(await keyed.page.locator(".guide").count(), 0);
    keyed.clean();
  }],
];
