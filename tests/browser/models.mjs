// Stories of the Models tab: search, rename, enable, save, undo, and errors.

import { readFileSync, writeFileSync } from "node:fs";

import { assert, listing, open, queriesOf, serve, until } from "./harness.mjs";

const NASTY = '<img src=x onerror="document.title=1">';
const YAML = `# mine
enable: true
models:
  demo-claude:
    mapping: claude
    note: a key of another program
custom_models:
  - id: '${NASTY}'
    owned_by: '<b>me</b>'
`;

const row = (page, bot) => page.locator(`#list .row[data-bot=${JSON.stringify(bot)}]`);
const names = (page) => page.locator("#list .row[data-bot] .open b").allTextContents();
const listed = async (server) => (await server.get("/v1/models")).data.map((model) => model.id);

async function opened(page, bot) {
  await row(page, bot).locator(".open").click();
  await page.locator("#panel").waitFor();
}

/** A page on a server of its own. */
async function start(yaml = YAML) {
  const server = await serve({ yaml });
  const view = await open(server);
  await view.go();
  await view.page.locator("#list .row[data-bot]").first().waitFor();
  return { server, ...view };
}

async function saved(page) {
  await page.locator("#save").click();
  await page.locator(".savebar").waitFor({ state: "hidden" });
}

export const stories = [
  ["the page opens with the password only", async () => {
    const server = await serve();
    const locked = await open(server, { locked: true });
    for (const path of ["/admin", "/admin/app.js", "/api/admin/config"]) {
      assert.equal((await locked.context.request.get(server.url + path)).status(), 401, path);
    }
    await locked.close();
    const view = await open(server);
    await view.go();
    await view.page.locator("#list .row[data-bot]").first().waitFor();
    view.clean();
  }],

  ["a search finds by name, owner and description; filters and order narrow it down", async () => {
    const { page, clean } = await start();
    const all = (await names(page)).length;
    await page.keyboard.press("/");
    await page.keyboard.type("story word");
    assert.deepEqual(await names(page), ["demo-story"]);
    assert.match(await page.locator("#count").textContent(), new RegExp(`^1 of ${all} `));
    await page.locator("#search").fill("");
    await page.locator('[data-key="paints"]').click();
    assert.ok((await names(page)).includes("demo-painter"));
    assert.ok(!(await names(page)).includes("demo-story"));
    await page.locator('[data-key="paints"]').click();
    await page.locator('[data-key="mapped"]').click();
    assert.deepEqual(await names(page), ["claude"]);
    await page.locator('[data-key="mapped"]').click();
    await page.locator("#order").selectOption("context");
    assert.equal((await names(page))[0], "demo-gemini");
    assert.equal((await names(page)).length, all);
    clean();
  }],

  ["rename, alias, parameter, disable, save: /v1/models changes and requests reach the bot", async () => {
    const { server, page, clean } = await start();
    await opened(page, "demo-gpt");
    await page.locator("#mapping").fill("mine");
    await page.getByLabel("Aliases").fill("second, third");
    await page.getByLabel("reasoning_effort").selectOption({ label: "high" });
    await page.getByLabel("web_search").selectOption({ label: "On" });
    await row(page, "demo-story").getByRole("switch").click();
    assert.match(await page.locator("#unsaved").textContent(), /4/);
    assert.equal(await page.locator("#list .row.changed").count(), 2);
    assert.ok((await listed(server)).includes("demo-gpt"), "a change has no effect before it is saved");
    await saved(page);
    assert.equal(await page.locator("#list .row.changed").count(), 0);

    const now = await listed(server);
    assert.ok(now.includes("mine") && !now.includes("demo-gpt") && !now.includes("demo-story"), String(now));
    const answer = await server.post("/v1/chat/completions", { model: "third", messages: [{ role: "user", content: "hello" }] });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const query = (await queriesOf(server)).at(-1);
    assert.equal(query.bot, "demo-gpt");
    assert.deepEqual(query.body.query.at(-1).parameters, { reasoning_effort: "high", web_search: true });
    assert.equal((await server.post("/v1/chat/completions", { model: "demo-story", messages: [{ role: "user", content: "x" }] })).status, 404);
    // unknown keys are kept, and the previous file is kept as a copy
    const { models } = await server.get("/api/admin/config");
    assert.equal(models["demo-claude"].note, "a key of another program");
    assert.equal(readFileSync(`${server.file}.bak`, "utf8"), YAML);

    await page.reload();
    await row(page, "demo-gpt").waitFor();
    assert.equal(await row(page, "demo-gpt").locator(".open b").textContent(), "mine");
    assert.equal(await row(page, "demo-story").getByRole("switch").getAttribute("aria-checked"), "false");
    clean();
  }],

  ["the form follows the model's parameter schema, and numbers out of range are not saved", async () => {
    const { server, page, clean } = await start();
    await opened(page, "demo-claude");
    const budget = page.getByLabel("thinking_budget");
    assert.deepEqual(await page.getByLabel("output_effort").locator("option").allTextContents(),
      ["Not set (Poe: none)", "none", "low", "medium", "high", "max"]);
    const before = await server.get("/api/admin/config");
    for (const wrong of ["99999999", "12x", "-1"]) {
      await budget.fill(wrong);
      assert.equal(await budget.getAttribute("aria-invalid"), "true");
      await page.locator("#save").click();
      await page.locator("#panel .fault", { hasText: /thinking_budget.*0 – 63,999/ }).waitFor();
      assert.deepEqual(await server.get("/api/admin/config"), before, wrong);
      assert.equal(await budget.inputValue(), wrong, "the invalid value stays in the field");
    }
    await budget.fill("1234");
    assert.equal(await budget.getAttribute("aria-invalid"), "false");
    assert.match(await page.locator("#unsaved").textContent(), /1/);
    await budget.fill("");
    assert.equal(await page.locator(".savebar").isVisible(), false, "a cleared field is not sent");
    clean();
  }],

  ["the panel shows the file's values; a default of the wrong type does not block other changes", async () => {
    const yaml = `enable: true
models:
  model-000:
    description: my own
    route: native
    reasoning: false
    parameters: {budget: hello, effort: high, extra: 5}
`;
    const server = await serve({ flags: ["--poe-base-url", await listing(2)], yaml });
    const { page, go, clean } = await open(server);
    await go();
    await opened(page, "model-000");
    const panel = page.locator("#panel");
    assert.equal(await panel.getByLabel("Description").inputValue(), "my own");
    assert.equal(await panel.getByLabel("Poe endpoint").inputValue(), "native");
    assert.equal(await panel.getByRole("switch", { name: "Names with reasoning suffixes" }).getAttribute("aria-checked"), "false");
    assert.equal(await panel.getByLabel("effort").locator("option:checked").textContent(), "high");
    const budget = panel.getByLabel("budget");
    assert.deepEqual([await budget.inputValue(), await budget.getAttribute("aria-invalid")], ["hello", "true"]);
    await panel.getByLabel("effort").selectOption({ label: "low" });
    // a value takes effect while typing, before the field loses focus
    await panel.getByLabel("extra", { exact: true }).fill("6");
    await page.keyboard.press("Control+s");
    await page.locator(".savebar").waitFor({ state: "hidden" });
    const { models } = await server.get("/api/admin/config");
    assert.deepEqual(models["model-000"].parameters, { budget: "hello", effort: "low", extra: 6 });
    clean();
  }],

  ["the first change in an empty file counts as one, and undo leaves none", async () => {
    const { server, page, clean } = await start("");
    await opened(page, "demo-echo");
    await page.locator("#mapping").fill("parrot");
    assert.match(await page.locator("#unsaved").textContent(), /: 1$/);
    assert.equal(await page.getByRole("switch", { name: "Apply models.yaml" }).getAttribute("aria-checked"), "true");
    await page.locator("#undo-one").click();
    assert.equal(await page.locator(".savebar").isVisible(), false);
    await page.locator("#mapping").fill("parrot");
    await saved(page);
    assert.ok((await listed(server)).includes("parrot"));
    clean();
  }],

  ["changes are marked, can be undone one by one or all, and survive a change of tab", async () => {
    const { page, clean } = await start();
    await opened(page, "demo-echo");
    await page.locator("#mapping").fill("parrot");
    await row(page, "demo-tools").getByRole("switch").click();
    await page.locator('[data-key="changed"]').click();
    assert.deepEqual(await names(page), ["demo-tools", "parrot"]);
    await page.locator("#undo-one").click();
    assert.deepEqual(await names(page), ["demo-tools"]);
    await page.locator('[data-key="changed"]').click();
    // a change of tab keeps them; closing the page shows a prompt
    await page.locator('#tabs a[href="#settings"]').click();
    await page.locator("table#settings").waitFor();
    await page.locator('#tabs a[href="#models"]').click();
    await page.locator("#list .row.changed").waitFor();
    const asked = new Promise((resolve) => page.once("dialog", async (dialog) => {
      await dialog.dismiss();
      resolve(dialog.type());
    }));
    await Promise.all([asked, page.close({ runBeforeUnload: true })]);
    assert.equal(await asked, "beforeunload");
    await page.locator("#undo-all").click();
    assert.equal(await page.locator("#list .row.changed").count(), 0);
    assert.equal(await page.locator(".savebar").isVisible(), false);
    clean();
  }],

  ["a name with markup is shown as text", async () => {
    const { server, page, faults, strangers } = await start();
    assert.ok((await names(page)).includes(NASTY));
    await row(page, NASTY).locator(".open").click();
    assert.equal(await page.locator("#panel-title").textContent(), NASTY);
    await page.locator("#panel").getByRole("button", { name: "Chat" }).click();
    await page.locator("#model").waitFor();
    assert.equal(await page.locator("#model").inputValue(), NASTY);
    await page.locator("#say").fill("<script>document.title=2</script>");
    await page.locator("#send").click();
    await page.locator(".turn.assistant .notice.bad").waitFor();
    await page.locator("#as-code").click();
    await page.locator("#snippet").waitFor();
    await page.keyboard.press("Escape");
    await page.locator('#tabs a[href="#activity"]').click();
    await page.getByText(NASTY).first().waitFor();
    assert.equal(await page.locator("main img").count(), 0);
    assert.equal(await page.locator("main script").count(), 0);
    assert.equal(await page.title(), "poe2openai");
    assert.ok((await listed(server)).includes(NASTY));
    assert.deepEqual(await page.locator("main b", { hasText: /^me$/ }).count(), 0);
    // the bot does not exist on Poe; Chromium logs the 404
    assert.ok(faults.length === 1 && faults[0].includes("404"), String(faults));
    assert.deepEqual(strangers, []);
  }],

  ["custom models are added and removed", async () => {
    const { server, page, clean } = await start();
    await page.locator("#add-custom").click();
    await page.locator("#custom-id").fill("My-Private-Bot");
    await page.locator("dialog").getByRole("button", { name: "Add" }).click();
    assert.equal(await page.locator("#panel-title").textContent(), "My-Private-Bot");
    await saved(page);
    assert.ok((await listed(server)).includes("My-Private-Bot"));
    await page.getByRole("button", { name: "Remove model" }).click();
    assert.equal(await row(page, "My-Private-Bot").getByText("removed").count(), 1);
    await saved(page);
    assert.ok(!(await listed(server)).includes("My-Private-Bot"));
    assert.equal(await row(page, "My-Private-Bot").count(), 0);
    clean();
  }],

  ["bulk changes: all shown models, or the selected ones", async () => {
    const { server, page, clean } = await start();
    await page.locator("#search").fill("demo-error");
    const errors = await names(page);
    assert.ok(errors.length > 3);
    await page.locator("#bulk-off").click();
    await page.locator("#search").fill("demo-painter");
    for (const bot of ["demo-painter", "demo-painter-late"]) await row(page, bot).getByRole("checkbox").check();
    assert.match(await page.locator("#bulk-off").textContent(), /2 selected/);
    await page.locator("#bulk-off").click();
    await saved(page);
    const now = await listed(server);
    assert.ok(errors.every((name) => !now.includes(name)));
    assert.ok(!now.includes("demo-painter") && !now.includes("demo-painter-late") && now.includes("demo-painter-link"));
    clean();
  }],

  ["a file changed on the server is not overwritten; the changes are re-applied to it", async () => {
    const { server, page, faults, strangers } = await start();
    await opened(page, "demo-echo");
    await page.locator("#mapping").fill("parrot");
    const config = await server.get("/api/admin/config");
    config.models["demo-fast"] = { enable: false };
    assert.equal((await server.post("/api/admin/config", config)).status, 200);
    await page.locator("#save").click();
    await page.locator("dialog").getByRole("button", { name: "Reload and re-apply my changes" }).click();
    await until("the other's change", async () => (await row(page, "demo-fast").getByRole("switch").getAttribute("aria-checked")) === "false");
    assert.match(await page.locator("#unsaved").textContent(), /1/);
    await saved(page);
    const { models } = await server.get("/api/admin/config");
    assert.deepEqual([models["demo-echo"].mapping, models["demo-fast"].enable], ["parrot", false]);
    // Chromium logs the 409
    assert.ok(faults.length === 1 && faults[0].includes("409"), String(faults));
    assert.deepEqual(strangers, []);
  }],

  ["a rejected save shows the field, and the edited value stays in the form", async () => {
    const { page, faults } = await start();
    await opened(page, "demo-echo");
    await page.locator("#mapping").fill("claude");
    await page.locator("#save").click();
    const message = await page.locator("#panel .fault").textContent();
    assert.match(message, /mapping/);
    assert.match(message, /claude/);
    assert.match(await page.locator("#unsaved").textContent(), /1/);
    await page.locator("#mapping").fill("parrot");
    await saved(page);
    await page.locator(".toast", { hasText: "Saved" }).waitFor();
    assert.equal(await page.locator("#panel .fault, .toast.bad").count(), 0, "the error is gone when its field is mended");
    assert.ok(faults.length === 1 && faults[0].includes("400"), String(faults));
  }],

  ["models.yaml can be downloaded and uploaded", async () => {
    const { server, page, faults } = await start();
    await page.locator("#file").click();
    assert.equal(await page.locator("#yaml").inputValue(), YAML);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
    assert.equal(download.suggestedFilename(), "models.yaml");
    assert.equal(readFileSync(await download.path(), "utf8"), YAML);
    const other = `${server.file}.other`;
    writeFileSync(other, "enable: true\nmodels:\n  demo-echo:\n    mapping: 5\n    enable: maybe\n");
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.getByRole("button", { name: "Upload" }).click()]);
    await chooser.setFiles(other);
    await until("the file's text", async () => (await page.locator("#yaml").inputValue()).includes("maybe"));
    await page.getByRole("button", { name: "Save file" }).click();
    const fault = page.locator("dialog .notice.bad");
    await fault.waitFor();
    assert.match(await fault.textContent(), /line \d.*(mapping|enable)/);
    assert.equal(readFileSync(server.file, "utf8"), YAML, "a bad file changes nothing");
    await page.locator("#yaml").fill("enable: true\nmodels:\n  demo-echo:\n    mapping: parrot\n");
    await page.getByRole("button", { name: "Save file" }).click();
    await page.locator("dialog").waitFor({ state: "detached" });
    await until("the new name", async () => (await names(page)).includes("parrot"));
    assert.ok((await listed(server)).includes("parrot"));
    assert.ok(faults.every((fault_) => fault_.includes("400")) && faults.length === 1, String(faults));
  }],

  ["names may be numbers, and Poe's list may have unexpected types: all models are listed, open and can be saved", async () => {
    const odd = { description: { on: { click: 1 } }, parameters: [null, 7, {}, { name: "effort", description: { class: "x" }, schema: { enum: ["low"] } }],
      architecture: { output_modalities: {} }, pricing: "free" };
    const yaml = "enable: true\nmodels:\n  model-000:\n    mapping: 4.1\n    aliases: [12, x]\n    description: 3\n  model-001:\ncustom_models:\n  - id: 5\n    owned_by: 6\n";
    const server = await serve({ flags: ["--poe-base-url", await listing(3, odd)], yaml });
    const { page, go, clean } = await open(server);
    await go();
    await row(page, "5").waitFor();
    assert.deepEqual((await names(page)).sort(), ["4.1", "5", "model-001", "model-002"]);
    await opened(page, "model-000");
    assert.equal(await page.locator("#mapping").inputValue(), "4.1");
    assert.equal(await page.locator("#panel").getByLabel("effort").count(), 1);
    await opened(page, "5");
    await row(page, "model-001").getByRole("switch").click();
    assert.match(await page.locator("#unsaved").textContent(), /: 1$/);
    await saved(page);
    assert.deepEqual((await listed(server)).sort(), ["4.1", "5", "model-002"]);
    await page.getByRole("button", { name: "Remove model" }).click();
    await saved(page);
    assert.deepEqual((await listed(server)).sort(), ["4.1", "model-002"]);
    await page.locator('#tabs a[href="#chat"]').click();
    await page.locator("#model").waitFor();
    clean();
  }],

  ["models.yaml can be edited when the list fails to load", async () => {
    const server = await serve({ yaml: YAML });
    const { page, go } = await open(server);
    let broken = true;
    await page.route("**/api/admin/models", (route) => (broken ? route.fulfill({ status: 500, json: { error: { message: "no list today" } } }) : route.fallback()));
    await go();
    await page.locator("main .notice.bad", { hasText: "no list today" }).waitFor();
    await page.locator("#file").click();
    assert.equal(await page.locator("#yaml").inputValue(), YAML);
    await page.locator("#yaml").fill("enable: true\nmodels:\n  demo-echo:\n    mapping: parrot\n");
    broken = false;
    await page.getByRole("button", { name: "Save file" }).click();
    await until("the list", async () => (await names(page)).includes("parrot"));
    assert.ok((await listed(server)).includes("parrot"));
  }],

  ["two concurrent saves send one request; text typed meanwhile stays unsaved", async () => {
    const { server, page, clean } = await start();
    await opened(page, "demo-echo");
    let posts = 0;
    let goOn;
    const held = new Promise((resolve) => { goOn = resolve; });
    await page.route("**/api/admin/config", async (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      posts += 1;
      await held;
      await route.fallback();
    });
    await page.locator("#mapping").fill("parrot");
    await page.keyboard.press("Control+s");
    await until("the post", () => posts === 1);
    assert.ok(await page.locator("#save").isDisabled());
    await page.keyboard.press("Control+s");
    await page.locator("#mapping").fill("parrot-two");
    goOn();
    await page.locator(".toast", { hasText: "Saved" }).waitFor();
    await until("the end of saving", async () => page.locator("#save").isEnabled());
    assert.equal(posts, 1);
    assert.equal((await server.get("/api/admin/config")).models["demo-echo"].mapping, "parrot");
    assert.equal(await page.locator("#mapping").inputValue(), "parrot-two");
    assert.equal(await page.evaluate(() => document.activeElement.id), "mapping", "the focus stays in the field");
    assert.match(await page.locator("#unsaved").textContent(), /: 1$/);
    await saved(page);
    assert.equal((await server.get("/api/admin/config")).models["demo-echo"].mapping, "parrot-two");
    clean();
  }],

  ["a failed reload after a save causes no conflict at the next save", async () => {
    const { server, page } = await start();
    await opened(page, "demo-echo");
    let broken = true;
    await page.route("**/api/admin/models", (route) => (broken ? route.fulfill({ status: 500, json: { error: { message: "no list today" } } }) : route.fallback()));
    await page.locator("#mapping").fill("parrot");
    await saved(page);
    await page.locator(".toast.bad", { hasText: "no list today" }).waitFor();
    broken = false;
    await page.locator("#mapping").fill("parrot-two");
    await saved(page);
    assert.equal((await server.get("/api/admin/config")).models["demo-echo"].mapping, "parrot-two");
    assert.equal(await page.locator("dialog").count(), 0);
  }],

  ["an error opens its model, not one with the same name prefix", async () => {
    const { page } = await start("enable: true\nmodels:\n  demo:\n    mapping: short\n  Demo-Echo:\n    mapping: long\n  demo-echo.1:\n    mapping: longer\n");
    await opened(page, "demo-echo.1");
    await page.locator("#mapping").fill("short");
    await page.keyboard.press("Escape");
    await page.locator("#save").click();
    await page.locator("#panel .fault").waitFor();
    assert.equal(await page.locator("#list .row.opened").getAttribute("data-bot"), "demo-echo.1");
  }],

  ["models.yaml as text, changed on the server: reload, or replace anyway", async () => {
    const { server, page } = await start();
    const others = async (mapping) => {
      const { version } = await server.get("/api/admin/config");
      const yaml = `enable: true\nmodels:\n  demo-fast:\n    mapping: ${mapping}\n`;
      assert.equal((await server.post("/api/admin/config/file", { yaml, version })).status, 200);
      return yaml;
    };
    const mine = "enable: true\nmodels:\n  demo-echo:\n    mapping: parrot\n";
    await page.locator("#file").click();
    await page.locator("#yaml").fill(mine);
    const theirs = await others("swift");
    await page.getByRole("button", { name: "Save file" }).click();
    const anyway = page.getByRole("button", { name: "Replace anyway" });
    await anyway.waitFor();
    assert.equal(await page.locator("#yaml").inputValue(), mine);
    await page.getByRole("button", { name: "Reload and discard my changes" }).click();
    await until("their text", async () => (await page.locator("#yaml").inputValue()) === theirs);
    await page.locator("#yaml").fill(mine);
    await others("swifter");
    await page.getByRole("button", { name: "Save file" }).click();
    await anyway.click();
    await until("my text", () => readFileSync(server.file, "utf8") === mine);
    await until("the list", async () => (await names(page)).includes("parrot"));
  }],

  ["warnings of the server are shown after a save, and stay", async () => {
    const { page } = await start();
    await row(page, "demo-echo").getByRole("switch").click();
    await saved(page);
    assert.match(await page.locator(".toast.warn").textContent(), /note/);
    assert.match(await page.locator("#banners").textContent(), /note/);
    // in a narrow window the notice does not cover the Save button
    await page.setViewportSize({ width: 800, height: 800 });
    await row(page, "demo-echo").getByRole("switch").click();
    await saved(page);
    await page.locator('#tabs a[href="#settings"]').click();
    await page.locator(".tile", { hasText: "note" }).waitFor();
    assert.equal(await page.locator("#banners").textContent(), "", "the warning is shown once");
  }],

  ["a cached list shows its age in days", async () => {
    const server = await serve();
    const { page, go, clean } = await open(server);
    const models = await server.get("/api/admin/models");
    await page.route("**/api/admin/models", (route) => route.fulfill({ json: { ...models, source: "cache", age_seconds: 259_383 } }));
    await go();
    await page.locator(".tab .notice", { hasText: "loaded 3 d 0 h ago" }).waitFor();
    clean();
  }],

  ["the page works with the keyboard alone", async () => {
    const { server, page, clean } = await start();
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.textContent);
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "skip");
    await page.keyboard.press("/");
    assert.equal(await focused(), "search");
    await page.keyboard.type("demo-e");
    while (!(await page.evaluate(() => document.activeElement.closest("#list .row")))) await page.keyboard.press("Tab");
    const first = await page.evaluate(() => document.activeElement.closest(".row").dataset.bot);
    await page.keyboard.press("ArrowDown");
    const second = await page.evaluate(() => document.activeElement.closest(".row").dataset.bot);
    assert.notEqual(first, second);
    await page.keyboard.press("Home");
    assert.equal(await page.evaluate(() => document.activeElement.closest(".row").dataset.bot), first);
    await page.keyboard.press("Tab"); // from the check box to the name
    await page.keyboard.press("Enter");
    assert.equal(await focused(), "panel-title");
    while ((await focused()) !== "mapping") await page.keyboard.press("Tab");
    await page.keyboard.type("typed");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#panel").count(), 0);
    assert.equal(await page.evaluate(() => document.activeElement.closest(".row").dataset.bot), first, "Esc moves the focus back to the row");
    await page.keyboard.press("Tab"); // the star
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space"); // the switch
    await page.keyboard.press("Control+s");
    await page.locator(".savebar").waitFor({ state: "hidden" });
    const { models } = await server.get("/api/admin/config");
    assert.deepEqual([models[first].mapping, models[first].enable], ["typed", false]);
    clean();
  }],

  ["four hundred models: all rows exist, with few elements each and one form at a time", async () => {
    const server = await serve({ flags: ["--poe-base-url", await listing(400)] });
    const { page, go, clean } = await open(server);
    await go();
    await until("all rows", async () => (await page.locator("#list .row[data-bot]").count()) === 400);
    const elements = await page.evaluate(() => document.querySelectorAll("#list *").length);
    assert.ok(elements < 400 * 20 + 200, `${elements} elements`);
    // off-screen rows are neither laid out nor painted
    assert.ok(await page.evaluate(() => [...document.querySelectorAll("#list .row[data-bot]")].every((one) => getComputedStyle(one).contentVisibility === "auto")));
    await row(page, "model-250").locator(".open").click();
    assert.equal(await page.locator("#panel").count(), 1);
    const widgets = await page.locator("#panel :is(input, select, textarea)").count();
    assert.ok(widgets < 20, `${widgets} widgets`);
    // a keystroke replaces only the rows that change
    const kept = await page.evaluateHandle(() => [...document.querySelectorAll("#list .row[data-bot]")]);
    await page.locator("#mapping").fill("model-250-renamed");
    const remade = await page.evaluate((before) => before.filter((one) => !one.isConnected).length, kept);
    assert.ok(remade <= 1, `${remade} rows were replaced`);
    await page.locator("#undo-all").click();
    await page.locator("#search").fill("model-399");
    assert.deepEqual(await names(page), ["model-399"]);
    await page.locator("#search").fill("");
    await row(page, "model-399").scrollIntoViewIfNeeded();
    assert.ok(await row(page, "model-399").isVisible());
    clean();
  }],

  ["without Poe the page shows a notice and keeps working", async () => {
    const server = await serve({ flags: ["--poe-base-url", "http://127.0.0.1:9"], yaml: "enable: true\ncustom_models:\n  - id: lonely\n" });
    const { page, go } = await open(server);
    await go();
    await page.locator("#list .row[data-bot]").first().waitFor();
    assert.deepEqual(await names(page), ["lonely"]);
    assert.match(await page.locator(".tab .notice").first().textContent(), /Cannot reach Poe/);
  }],

  ["a broken models.yaml is shown with its line", async () => {
    const server = await serve({ yaml: "enable: true\nmodels:\n  demo-echo:\n    enable: maybe\n" });
    const { page, go, clean } = await open(server);
    await go();
    await until("the warning", async () => /line 4/.test(await page.locator("#banners").textContent()));
    clean();
  }],

  ["texts in three languages: every used key exists, none is empty, none is unused", async () => {
    const { page, clean } = await start();
    const faults = await page.evaluate(async () => {
      const { WORDS } = await import("/admin/i18n.js");
      const holes = (text) => (text.match(/\{\w+\}/g) || []).sort().join();
      return Object.entries(WORDS).filter(([, words]) => words.length !== 3 || words.some((word) => !word.trim()) || new Set(words.map(holes)).size !== 1).map(([key]) => key);
    });
    assert.deepEqual(faults, []);
    const keys = new Set(await page.evaluate(async () => Object.keys((await import("/admin/i18n.js")).WORDS)));
    const sources = await page.evaluate(() => Promise.all(performance.getEntriesByType("resource").map(({ name }) => name)
      .filter((name) => name.endsWith(".js") && !name.endsWith("i18n.js")).map(async (name) => (await fetch(name)).text())));
    assert.ok(sources.length > 10, `${sources.length} modules`);
    const source = sources.join("\n");
    const used = [...source.matchAll(/\bt\('([^']+)'/g)].map(([, key]) => key);
    assert.deepEqual([...new Set(used)].filter((key) => !keys.has(key)), []);
    const stems = [...source.matchAll(/`(\w+\.)\$\{/g)].map(([, stem]) => stem);
    const tabs = await page.locator("#tabs a").evaluateAll((links) => links.map((link) => link.hash.slice(1)));
    const idle = [...keys].filter((key) => !tabs.includes(key) && !stems.some((stem) => key.startsWith(stem)) && !["'", "#"].some((mark) => source.includes(`${mark}${key}'`)));
    assert.deepEqual(idle, []);
    clean();
  }],

  ["models: only chosen ones (default: off) and back, with enabled models kept, in the list and for clients", async () => {
    const { server, page, clean } = await start("enable: true\nmodels:\n  demo-claude:\n    mapping: claude\n  demo-gpt:\n    enable: false\n");
    await page.locator("#mode").selectOption("off");
    assert.equal(await row(page, "demo-claude").getByRole("switch").getAttribute("aria-checked"), "true");
    assert.equal(await row(page, "demo-echo").getByRole("switch").getAttribute("aria-checked"), "false");
    await row(page, "demo-story").getByRole("switch").click();
    await opened(page, "demo-think");
    await page.getByLabel("Description").fill("written while it is off");
    await saved(page);
    assert.deepEqual((await listed(server)).sort(), ["claude", "demo-story"]);
    assert.match(readFileSync(server.file, "utf8"), /default: .?off/);
    assert.equal((await server.post("/v1/chat/completions", { model: "demo-echo", messages: [{ role: "user", content: "x" }] })).status, 404);
    await row(page, "demo-story").getByRole("switch").click();
    await saved(page);
    assert.deepEqual(await listed(server), ["claude"]);
    assert.equal((await server.get("/api/admin/config")).models["demo-story"].enable, false);
    await page.locator("#mode").selectOption("on");
    await saved(page);
    const now = await listed(server);
    assert.ok(now.includes("demo-echo") && now.includes("claude") && !now.includes("demo-gpt"), String(now));
    clean();
  }],

  ["models: favourites come first, providers fold, and an order by price has no groups", async () => {
    const server = await serve({ flags: ["--poe-base-url", await listing(30)] });
    const { page, go, clean } = await open(server);
    await go();
    await row(page, "model-025").locator(".star").click();
    assert.equal((await names(page))[0], "model-025");
    assert.match(await page.locator("#list .group").first().textContent(), /Favourites 1/);
    const group = page.locator("#list .group button", { hasText: "Owner 3" });
    const count = (await names(page)).length;
    await group.click();
    assert.equal(await group.getAttribute("aria-expanded"), "false");
    assert.equal((await names(page)).length, count - 3);
    await page.locator("#search").fill("model-003");
    assert.deepEqual(await names(page), ["model-003"], "a search looks into folded groups");
    await page.locator("#search").fill("");
    await page.reload();
    await row(page, "model-025").waitFor();
    assert.equal((await names(page))[0], "model-025");
    assert.equal((await names(page)).length, count - 3);
    await page.locator("#order").selectOption("created");
    assert.equal(await page.locator("#list .group").count(), 0);
    assert.deepEqual((await names(page)).slice(0, 2), ["model-025", "model-029"]);
    clean();
  }],

  ["models: prices have units", async () => {
    const prices = [{ prompt: "0.0000026", completion: "0.000013" }, { request: "0.045", prompt: null }, { request: "0.00" }];
    for (const [at, text] of ["$2.60 in / $13 out per M", "$0.045 a request", "Free or not listed"].entries()) {
      const server = await serve({ flags: ["--poe-base-url", await listing(1, { pricing: prices[at] })] });
      const { page, go, close } = await open(server);
      await go();
      assert.equal(await row(page, "model-000").locator(".price").textContent(), text);
      await close();
    }
  }],

  ["models: Shift selects a range, and every field is changed for all selected at once", async () => {
    const server = await serve({ flags: ["--poe-base-url", await listing(12)] });
    const { page, go, clean } = await open(server);
    await go();
    await page.locator("#order").selectOption("created");
    const box = (bot) => row(page, bot).locator('[data-act="select"]');
    await box("model-009").click();
    await box("model-005").click({ modifiers: ["Shift"] });
    assert.match(await page.locator("#bulk-edit").textContent(), /5 selected/);
    await box("model-005").focus();
    await page.keyboard.press("Shift+ArrowDown");
    assert.match(await page.locator("#bulk-edit").textContent(), /6 selected/);
    await page.locator("#bulk-edit").click();
    await page.locator("#bulk-tools").selectOption({ label: "In the prompt" });
    await page.locator("#bulk-route").selectOption({ label: "Native" });
    await page.locator("#bulk-description").fill("for all");
    await page.getByLabel("Default parameters: Name").fill("effort");
    await page.getByLabel("Default parameters: Value").fill("high");
    await page.locator("dialog footer .primary").click();
    await saved(page);
    const { models } = await server.get("/api/admin/config");
    assert.deepEqual(Object.keys(models).sort(), ["model-004", "model-005", "model-006", "model-007", "model-008", "model-009"]);
    for (const model of Object.values(models)) assert.deepEqual([model.tools, model.route, model.description, model.parameters], ["prompt", "native", "for all", { effort: "high" }]);
    await page.locator("#bulk-edit").click();
    await page.locator("#bulk-reset").check();
    await page.locator("dialog footer .primary").click();
    await saved(page);
    assert.ok(Object.values((await server.get("/api/admin/config")).models).every((model) => !model.description && model.tools !== "prompt"));
    clean();
  }],

  ["models: the file before the last save can be restored", async () => {
    const { server, page, clean } = await start();
    await row(page, "demo-echo").getByRole("switch").click();
    await saved(page);
    assert.ok(!(await listed(server)).includes("demo-echo"));
    await page.locator("#file").click();
    await page.locator("dialog").getByRole("button", { name: "Restore previous version" }).click();
    await until("the restored list", async () => (await listed(server)).includes("demo-echo"));
    assert.equal(readFileSync(server.file, "utf8"), YAML);
    await until("the page", async () => (await row(page, "demo-echo").getByRole("switch").getAttribute("aria-checked")) === "true");
    clean();
  }],

  ["models: a file that cannot be saved is said at the top, with what to do, and Save is off", async () => {
    const { page, go, clean } = await start();
    await page.route("**/api/admin/config/state", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), writable: false } });
    });
    await go("chat");
    await go("models");
    await until("the notice", async () => /read-only.*Mount its directory/.test(await page.locator("#banners").textContent()));
    await row(page, "demo-echo").getByRole("switch").click();
    assert.ok(await page.locator("#save").isDisabled());
    await page.locator("#undo-all").click();
    await page.locator("#file").click();
    assert.equal(await page.locator("dialog footer .primary").count(), 0);
    clean();
  }],

  ["models: a fault of the server is shown beside its field and goes when the field is mended", async () => {
    const { page, faults } = await start();
    await opened(page, "demo-think");
    await page.locator("#mapping").fill("demo-echo");
    await page.locator("#save").click();
    const fault = page.locator("#panel .field", { has: page.locator("#mapping") }).locator(".fault");
    await fault.waitFor();
    assert.equal(await page.locator(".toast.bad").count(), 0);
    await page.locator("#mapping").fill("my-own");
    assert.equal(await fault.count(), 0);
    await saved(page);
    assert.ok(faults.length === 1 && faults[0].includes("400"), String(faults));
  }],

  ["models: of 362 a phone shows the first in its first screen", async () => {
    const server = await serve({ flags: ["--poe-base-url", await listing(362)] });
    const { page, go, clean } = await open(server, { context: { viewport: { width: 390, height: 844 }, hasTouch: true } });
    await go();
    const first = page.locator("#list .row[data-bot]").first();
    await first.waitFor();
    const box = await first.boundingBox();
    assert.ok(box.y + box.height <= 844, JSON.stringify(box));
    // the time is printed, not asserted: it depends on what else the machine does
    const time = await page.evaluate(() => Math.round(performance.getEntriesByType("paint").find((one) => one.name === "first-contentful-paint").startTime));
    console.log(`  first paint after ${time} ms`);
    const small = await page.evaluate(() => [...document.querySelectorAll("main button, main select, main input:not([type=checkbox],[type=file]), #tabs a, #top button, #top select")]
      .filter((one) => one.checkVisibility() && !one.matches(".switch, .sr")).map((one) => [one.textContent.slice(0, 20), Math.round(one.getBoundingClientRect().height)]).filter(([, height]) => height < 40));
    assert.deepEqual(small.slice(0, 5), []);
    clean();
  }],
];
