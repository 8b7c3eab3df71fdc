// Stories of the Keys tab.

import { assert, serve, open, until } from "./harness.mjs";
import { start } from "./steps.mjs";

const listed = async (server) => (await server.get("/api/admin/keys")).keys;
const row = (page, name) => page.locator("#keys tr", { has: page.locator("b", { hasText: new RegExp(`^${name}$`) }) });
const ask = (server, key, model = "demo-echo") => fetch(`${server.url}/v1/chat/completions`, { method: "POST",
  headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] }) });

async function create(page, fields) {
  await page.locator("#create-key").click();
  for (const [id, value] of Object.entries(fields)) await page.locator(`#key-${id}`).fill(value);
  await page.locator("dialog footer .primary").click();
}

export const stories = [
  ["keys: one is created, shown once, copied, used, limited, renamed, disabled and deleted", async () => {
    const { server, page, context, clean } = await start("keys");
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByText("No keys yet.").waitFor();
    await create(page, { name: "daughter", models: "demo-echo\ndemo-g*", daily_points: "5000" });
    const secret = await page.locator("#secret").inputValue();
    await page.locator("#copy-secret").click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
    await page.locator("dialog footer").getByRole("button", { name: "Close" }).click();
    assert.ok(!(await page.content()).includes(secret), "it is shown once");
    await row(page, "daughter").waitFor();
    assert.match(await row(page, "daughter").textContent(), /0 \/ 5,000/);
    assert.equal((await ask(server, secret)).status, 200);
    assert.equal((await ask(server, secret, "demo-story")).status, 403);
    await page.reload();
    await until("its use", async () => /[1-9]\d* \/ 5,000/.test(await row(page, "daughter").textContent()));

    await row(page, "daughter").getByRole("button", { name: /Edit/ }).click();
    await page.locator("#key-name").fill("Anna");
    await page.locator("#key-daily_points").fill("");
    await page.locator("#key-requests_per_minute").fill("0.5");
    await page.locator("dialog footer .primary").click();
    await page.locator("dialog .field", { has: page.locator("#key-requests_per_minute") }).locator(".fault").waitFor();
    await page.locator("#key-requests_per_minute").fill("100");
    assert.equal(await page.locator("dialog small.fault").count(), 0, "the fault is gone when it is mended");
    await page.locator("dialog footer .primary").click();
    await row(page, "Anna").waitFor();
    const [key] = await listed(server);
    assert.deepEqual([key.name, key.daily_points, key.requests_per_minute, key.models], ["Anna", null, 100, ["demo-echo", "demo-g*"]]);
    assert.equal((await ask(server, secret)).status, 200, "a new name is the same key");

    await row(page, "Anna").getByRole("switch").click();
    await until("disabled", async () => (await ask(server, secret)).status === 401 || (await ask(server, secret)).status === 403);
    await row(page, "Anna").getByRole("switch").click();
    await until("enabled", async () => (await ask(server, secret)).status === 200);
    await row(page, "Anna").getByRole("button", { name: /Delete/ }).click();
    await page.locator("dialog footer .danger").click();
    await page.getByText("No keys yet.").waitFor();
    assert.deepEqual(await listed(server), []);
    clean();
  }],

  ["keys: a name that is taken is a fault beside the name, and nothing typed is lost", async () => {
    const { page, faults } = await start("keys");
    for (const _ of [1, 2]) {
      await create(page, { name: "twice", note: "a note" });
      if (_ === 1) await page.locator("dialog footer").getByRole("button", { name: "Close" }).click();
    }
    await page.locator("dialog .field", { has: page.locator("#key-name") }).locator(".fault").waitFor();
    assert.equal(await page.locator("#key-note").inputValue(), "a note");
    await page.locator("#key-name").fill("thrice");
    await page.locator("dialog footer .primary").click();
    await page.locator("#secret").waitFor();
    assert.ok(faults.length === 1 && faults[0].includes("409"), String(faults));
  }],

  ["keys: without a Poe key on the server no key can be created, and the page says why", async () => {
    const server = await serve({ flags: ["--poe-base-url", "http://127.0.0.1:1"] });
    const { page, go, clean } = await open(server);
    await go("keys");
    await page.getByText("set POE_API_KEY").waitFor();
    assert.ok(await page.locator("#create-key").isDisabled());
    clean();
  }],

  ["keys: one is made in Connect, and its settings are ready", async () => {
    const { server, page, clean } = await start("connect/demo-echo");
    await page.locator("#create-key").click();
    await page.locator("#new-key-name").fill("laptop");
    await page.locator("dialog footer .primary").click();
    await until("the key in the text", async () => (await page.locator("#client-key").inputValue()) !== "");
    const key = await page.locator("#client-key").inputValue();
    assert.ok((await page.locator("#snippet").textContent()).includes(key));
    assert.equal((await ask(server, key)).status, 200);
    clean();
  }],
];
