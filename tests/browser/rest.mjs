// Stories of the other tabs, languages, themes, small screens and accessibility.

import { readFileSync } from "node:fs";

import { assert, axe, foreign, listing, open, serve, until } from "./harness.mjs";
import { answer, ended, say, start } from "./steps.mjs";

const TABS = ["overview", "models", "chat", "keys", "connect", "activity", "account", "settings"];
export const stories = [
  ["activity: running requests can be stopped, finished ones are listed, without their texts", async () => {
    const { server, page, clean } = await start("activity");
    await server.post("/v1/chat/completions", { model: "demo-echo", messages: [{ role: "user", content: "very private words" }] });
    const line = page.locator("#done-rows tr", { hasText: "demo-echo" });
    await line.first().waitFor();
    assert.match(await line.first().textContent(), /200.*\/chat\/completions.*\d+ → \d+/);
    const running = server.post("/v1/chat/completions", { model: "demo-story", messages: [{ role: "user", content: "a story" }] }).catch(() => "cut");
    await page.locator("#running-rows tr", { hasText: "demo-story" }).getByRole("button", { name: "Stop" }).click();
    await page.locator("#running-rows tr").waitFor({ state: "detached" });
    const outcome = await running;
    assert.ok(outcome === "cut" || outcome.status !== 200, JSON.stringify(outcome));
    await page.locator("#done-rows tr", { hasText: "demo-story" }).waitFor();
    assert.ok(!(await page.content()).includes("very private words"));
    assert.match(await page.locator("#totals").textContent(), /demo-echo/);
    await page.getByLabel("Search requests").fill("demo-echo");
    assert.equal(await page.locator("#done-rows tr").count(), 1);
    clean();
  }],

  ["activity: prompts and answers are recorded only after a confirmation, and deleted when turned off", async () => {
    const { server, page, clean } = await start("activity");
    const ask = (content) => server.post("/v1/chat/completions", { model: "demo-echo", messages: [{ role: "user", content }] });
    await page.locator("#inspection").click();
    await page.locator("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal((await server.get("/api/admin/activity")).inspection, false);
    await page.locator("#inspection").click();
    await page.locator("dialog").getByRole("button", { name: "Turn on" }).click();
    await until("the switch", async () => (await server.get("/api/admin/activity")).inspection);
    await ask("words to look at");
    await page.getByRole("button", { name: "Details" }).first().click();
    assert.match(await page.locator("dialog .message.user").textContent(), /user.*words to look at/);
    assert.match(await page.locator("dialog pre.raw").textContent(), /^\{\n  "model": "demo-echo"/);
    await page.keyboard.press("Escape");
    await page.locator("#inspection").click();
    await until("the switch", async () => !(await server.get("/api/admin/activity")).inspection);
    await page.getByRole("button", { name: "Details" }).first().click();
    assert.ok(!/words to look at/.test(await page.locator("dialog").textContent()));
    clean();
  }],

  ["activity: details of a good request, filters by model and status, export", async () => {
    const { server, page, clean } = await start("activity");
    for (const model of ["demo-echo", "demo-gpt", "demo-error-http-402"]) await server.post("/v1/chat/completions", { model, messages: [{ role: "user", content: "x" }] });
    const rows = page.locator("#done-rows tr");
    await until("three requests", async () => (await rows.count()) === 3);
    await rows.filter({ hasText: "demo-gpt" }).getByRole("button", { name: /Details/ }).click();
    const text = await page.locator("dialog").textContent();
    for (const words of [/Status200/, /ModelDemo|Modeldemo-gpt/, /Input tokens\d/, /Route(bot|native)/, /Duration\d/]) assert.match(text, words);
    await page.keyboard.press("Escape");
    await page.locator("#filter-status").selectOption("errors");
    assert.equal(await rows.count(), 1);
    assert.match(await rows.first().textContent(), /402/);
    await page.locator("#filter-status").selectOption("good");
    await page.locator("#filter-model").selectOption("demo-echo");
    assert.equal(await rows.count(), 1);
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator("#export").click()]);
    const exported = JSON.parse(readFileSync(await file.path(), "utf8"));
    assert.deepEqual(exported.map((one) => [one.model, one.status]), [["demo-echo", 200]]);
    await page.locator("#filter-model").selectOption("");
    await page.locator("#filter-status").selectOption("");
    assert.equal(await rows.count(), 3);
    clean();
  }],

  ["activity: the log with level, search and pause, without a key", async () => {
    const { server, page, clean } = await start("activity");
    const ask = (model) => server.post("/v1/chat/completions", { model, messages: [{ role: "user", content: "x" }] });
    await ask("demo-echo");
    await page.locator("#log-view summary").click();
    const lines = page.locator("#log-lines .line");
    await until("a line", async () => (await lines.allTextContents()).some((line) => /chat\/completions.*model="demo-echo"/.test(line)));
    await page.locator("#log-pause").click();
    const before = await lines.count();
    await ask("demo-gpt");
    const polled = page.waitForResponse((answer) => answer.url().includes("/api/admin/activity"));
    await polled;
    assert.equal(await lines.count(), before, "nothing is added while it is paused");
    await page.locator("#log-pause").click();
    await until("the next line", async () => (await lines.allTextContents()).some((line) => line.includes("demo-gpt")));
    await page.locator("#log-search").fill("demo-gpt");
    assert.ok((await lines.allTextContents()).every((line) => line.includes("demo-gpt")));
    await page.locator("#log-search").fill("");
    await page.locator("#log-level").selectOption("error");
    assert.ok((await lines.allTextContents()).every((line) => line.includes("[ERROR]")));
    const { lines: all } = await server.get("/api/admin/log");
    assert.ok(all.length > 0 && all.every(({ text }) => !text.includes(server.password) && !text.includes("Bearer")));
    clean();
  }],

  ["account: points left and a chart, for the server's key or an entered key", async () => {
    const { server, page, context, clean } = await start("chat/demo-echo");
    await say(page, "spend some");
    await ended(page);
    await page.locator('#tabs a[href="#account"]').click();
    await page.locator("#balance").waitFor();
    assert.match(await page.locator("#balance").textContent(), /^\d{3},\d{3}$/);
    assert.ok((await page.locator("svg.chart rect.mark").count()) >= 1);
    assert.equal(await page.locator("#account details tbody tr").count(), 30);
    await page.locator("#key").fill("a-typed-key");
    const [request] = await Promise.all([page.waitForRequest((one) => one.url().endsWith("/api/admin/account")), page.getByRole("button", { name: "Show usage" }).click()]);
    assert.equal(request.headers()["x-poe-key"], "a-typed-key");
    assert.deepEqual(await page.evaluate(() => [sessionStorage.getItem("poe-key"), JSON.stringify(localStorage).includes("a-typed-key")]), ["a-typed-key", false]);
    await page.getByRole("button", { name: "Clear key" }).click();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("poe-key")), null);
    assert.equal((await context.cookies()).length, 0);
    assert.ok(server.url);
    clean();
  }],

  ["account: a key that Poe rejects shows an error, without a second password prompt", async () => {
    const { page, faults } = await start("account");
    await page.locator("#balance").waitFor();
    await page.locator("#key").fill("wrong-key");
    await page.getByRole("button", { name: "Show usage" }).click();
    await page.locator("#account .notice.bad").waitFor();
    assert.ok(faults.length === 1 && faults[0].includes("401"), String(faults));
  }],

  ["without a key on the server: every tab opens without an error, and the account asks for a key", async () => {
    const { page, go, clean } = await start("models", { server: { flags: ["--poe-base-url", "http://127.0.0.1:1"] }, context: { locale: "zh-TW" } });
    for (const tab of TABS) {
      await go(tab);
      await page.locator(`.tab.${tab} h1`).waitFor({ state: "attached" });
      if (tab === "account") assert.match(await page.locator("#account").textContent(), /輸入您的 Poe API 金鑰/);
    }
    assert.match(await page.locator(".tiles").textContent(), /就緒/);
    const line = page.locator("table#settings tr", { has: page.locator('code:text-is("POE_API_KEY")') });
    assert.match(await line.textContent(), /未設定/);
    clean();
  }],

  ["an error is shown in the page's language, followed by Poe's message", async () => {
    const { page } = await start("chat/demo-error-http-402", { context: { locale: "zh-CN" } });
    await say(page, "x");
    await ended(page);
    assert.match(await answer(page).locator(".notice.bad").textContent(), /^积分不足：.*points/i);
  }],

  ["settings: all are shown with their source, secrets masked", async () => {
    const { server, page, clean } = await start("settings");
    const line = (name) => page.locator("table#settings tr", { has: page.locator(`code:text-is("${name}")`) }).textContent();
    assert.match(await line("HOST"), /127\.0\.0\.1.*Flag/);
    assert.match(await line("ADMIN_PASSWORD"), /Environment/);
    assert.match(await line("KEEP_ALIVE_MS").catch(() => line("LOG_LEVEL")), /Default/);
    assert.ok(!(await page.content()).includes(server.password));
    clean();
  }],

  ["the built-in password causes a warning", async () => {
    const { page, clean } = await start("models", { server: { variables: {} } });
    await until("the warning", async () => /ADMIN_PASSWORD/.test(await page.locator("#banners").textContent()));
    clean();
  }],

  ["three languages: from the browser's locale and by the selector, without losing changes", async () => {
    const words = { "zh-TW": ["總覽", "模型", "對話", "金鑰", "連接程式", "活動", "帳戶", "設定"], "zh-CN": ["概览", "模型", "对话", "密钥", "接入程序", "活动", "账户", "设置"],
      "en-US": ["Overview", "Models", "Chat", "Keys", "Connect", "Activity", "Account", "Settings"] };
    for (const [locale, tabs] of Object.entries(words)) {
      const { page, clean, close } = await start("models", { context: { locale } });
      assert.deepEqual(await page.locator("#tabs a").allTextContents(), tabs);
      clean();
      await close();
    }
    const { page, clean } = await start("models");
    await page.locator("#list .row[data-bot] .open").first().click();
    await page.locator("#mapping").fill("kept");
    await page.locator("#language").selectOption("zh-TW");
    await page.locator(".savebar", { hasText: "未儲存" }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-TW");
    await page.locator("#undo-all").click();
    await page.reload();
    assert.equal(await page.locator("#tabs a").last().textContent(), "設定");
    clean();
  }],

  ["a page on another port cannot change anything, although the browser has the password", async () => {
    const { server, page, context } = await start("models");
    const url = `${server.url}/api/admin/config`;
    const before = await server.get("/api/admin/config");
    const change = JSON.stringify({ enable: true, models: { "demo-echo": { enable: false } } });
    const site = await foreign(`<form method=post enctype=text/plain action="${url}"><input name='${change.slice(0, -1)},"x":"' value='"}'></form>`);
    await context.route(`${site}/**`, (route) => route.continue());
    await page.goto(site);
    const outcomes = await page.evaluate(async ([url, body]) => {
      const variants = [
        { mode: "no-cors", headers: { "content-type": "text/plain" } },
        { mode: "cors", headers: { "content-type": "text/plain" } },
        { mode: "cors", headers: { "content-type": "application/json" } },
      ];
      const results = [];
      for (const variant of variants) {
        results.push(await fetch(url, { method: "POST", credentials: "include", body, ...variant }).then((answer) => answer.type, () => "refused"));
      }
      results.push(await fetch(url, { credentials: "include" }).then(() => "read", () => "refused"));
      return results;
    }, [url, change]);
    assert.deepEqual(outcomes, ["opaque", "refused", "refused", "refused"]);
    const sent = page.waitForResponse(url);
    await page.evaluate(() => document.forms[0].submit());
    assert.equal((await sent).status(), 403);
    assert.deepEqual(await server.get("/api/admin/config"), before);
  }],

  ["two themes: from the system and by the selector", async () => {
    const paper = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const { server, page, clean } = await start("models");
    const light = await paper(page);
    await page.locator("#theme").selectOption("dark");
    const dark = await paper(page);
    assert.notEqual(light, dark);
    await page.reload();
    await page.locator("#theme").waitFor();
    assert.equal(await paper(page), dark);
    const other = await open(server, { context: { colorScheme: "dark" } });
    await other.go();
    assert.equal(await paper(other.page), dark);
    clean();
  }],

  ["a phone of 360 pixels: nothing overflows, and a model can be changed", async () => {
    const { page, go, clean } = await start("models", { context: { viewport: { width: 360, height: 740 }, hasTouch: true } });
    for (const tab of TABS) {
      await go(tab);
      await page.locator(`.tab.${tab} h1`).waitFor({ state: "attached" });
      const sticks = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(sticks <= 0, `${tab} overflows by ${sticks}`);
    }
    await go("models");
    await page.locator('.row[data-bot="demo-echo"] .open').tap();
    await page.locator("#mapping").fill("small");
    await page.locator("#save").tap();
    await page.locator(".savebar").waitFor({ state: "hidden" });
    await page.locator("#panel").getByRole("button", { name: "Close" }).tap();
    assert.equal(await page.locator('.row[data-bot="demo-echo"] .open b').textContent(), "small");
    clean();
  }],

  ["a phone of 390 pixels: settings and requests are pairs of a name and a value, long values wrap, days are readable", async () => {
    const { server, page, go, clean } = await start("settings", { context: { viewport: { width: 390, height: 844 } } });
    await server.post("/api/admin/inspection", { on: true });
    const content = "a question without an end, ".repeat(30);
    const body = JSON.stringify({ model: "demo-echo", stream: true, messages: [{ role: "user", content }] });
    await (await fetch(`${server.url}/v1/chat/completions`, { method: "POST", headers: { authorization: "Bearer demo", "content-type": "application/json" }, body })).text();
    for (const tab of ["settings", "activity"]) {
      await go(tab);
      await page.locator(`.tab.${tab} tbody [data-label]`).first().waitFor();
      const odd = await page.evaluate(() => {
        const table = document.querySelector("#settings, #requests");
        const right = table.getBoundingClientRect().right;
        const places = [...table.querySelectorAll("tbody [data-label]")].map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          const all = [...range.getClientRects()].filter((one) => one.width);
          return { text: cell.textContent, left: Math.min(...all.map((one) => Math.round(one.left))), right: Math.max(...all.map((one) => one.right)), room: cell.clientWidth };
        });
        return places.filter((one) => one.left !== places[0].left || one.right > right || one.room < 200);
      });
      assert.deepEqual(odd, [], tab);
    }
    await page.getByRole("button", { name: "Details" }).first().click();
    assert.ok(await page.locator("dialog pre").first().evaluate((one) => one.scrollWidth <= one.clientWidth && one.clientHeight > 100));
    await page.keyboard.press("Escape");
    await go("account");
    const day = await page.locator("svg.chart text").first().boundingBox();
    assert.ok(day.height >= 10, `${day.height} pixels`);
    clean();
  }],

  ["from phone to desktop: the program's name and times stay on one line, and no tab is cut off", async () => {
    const { server, page, go, clean } = await start("activity");
    await server.post("/v1/chat/completions", { model: "demo-echo", messages: [{ role: "user", content: "x" }] });
    for (const width of [721, 768, 861, 900, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      await go("activity");
      await page.locator("#done-rows tr").first().waitFor();
      for (const place of [".brand b", "#done-rows td"]) {
        const lines = await page.locator(place).first().evaluate((one) => {
          const range = document.createRange();
          range.selectNodeContents(one);
          return range.getClientRects().length;
        });
        assert.equal(lines, 1, `${place} at ${width}`);
      }
      const header = await page.evaluate(() => [document.documentElement.scrollWidth - innerWidth, document.querySelector("#top").scrollWidth - innerWidth]);
      assert.ok(header.every((over) => over <= 0), `${width}: ${header}`);
    }
    clean();
  }],

  ["accessibility: axe finds no violation in both themes, three languages, on desktop and phone", async () => {
    const server = await serve({ flags: ["--poe-base-url", await listing(30)] });
    const demo = await serve();
    for (const model of ["demo-echo", "demo-error-http-402"]) await demo.post("/v1/chat/completions", { model, messages: [{ role: "user", content: "x" }] });
    const desktop = { width: 1280, height: 800 };
    const views = [["light", "en-US", desktop, server], ["dark", "en-US", desktop, demo], ["light", "zh-TW", { width: 390, height: 844 }, demo], ["dark", "zh-CN", desktop, server]];
    for (const [colorScheme, locale, viewport, on] of views) {
      // bypassCSP: the page's content security policy blocks the injected axe script
      const { page, go, close } = await open(on, { context: { colorScheme, locale, viewport, bypassCSP: true } });
      for (const tab of TABS) {
        await go(tab);
        await page.locator(`.tab.${tab} h1`).waitFor({ state: "attached" });
        if (tab === "models") await page.locator("#list .open").first().click();
        if (tab === "activity") await page.locator("#log-view summary").click();
        if (tab === "overview") await page.locator("#overview .tile").first().waitFor();
        if (tab === "chat" && on === demo) {
          await page.locator("#model").fill("demo-echo");
          await say(page, "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nx\n```\n\n![cat](https://example.com/cat.png)");
          await ended(page);
        }
        await page.addScriptTag({ path: axe });
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        assert.deepEqual(violations.map(({ id, nodes }) => [tab, colorScheme, locale, id, nodes.slice(0, 3).map((node) => node.html.slice(0, 120) + (node.any[0]?.message ?? ""))]), []);
      }
      await close();
    }
  }],
];
