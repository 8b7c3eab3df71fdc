// Stories of the Overview tab.

import { assert, open, serve, until } from "./harness.mjs";
import { start } from "./steps.mjs";

const ask = (server, model, content = "hello") => server.post("/v1/chat/completions", { model, messages: [{ role: "user", content }] });

export const stories = [
  ["overview: it is the first tab, and says in words that nothing has happened yet", async () => {
    const { server, page, clean } = await start("");
    assert.equal(await page.locator("#tabs a").first().getAttribute("aria-current"), "page");
    await page.locator("#overview .tile").first().waitFor();
    await page.getByText("No requests in this period.").first().waitFor();
    await page.getByText("No errors since the start.").waitFor();
    await page.getByText("Nothing is running.").waitFor();
    assert.ok(server.url);
    clean();
  }],

  ["overview: use by model and by key, errors, times, by pointer, keyboard and as a table", async () => {
    const { server, page, clean } = await start("overview");
    for (const model of ["demo-echo", "demo-echo", "demo-gpt"]) assert.equal((await ask(server, model)).status, 200);
    await ask(server, "demo-error-http-402");
    const body = JSON.stringify({ model: "demo-echo", stream: true, messages: [{ role: "user", content: "x" }] });
    await (await fetch(`${server.url}/v1/chat/completions`, { method: "POST", headers: { authorization: "Bearer demo", "content-type": "application/json" }, body })).text();
    const chart = page.locator("#use");
    await until("two models", async () => (await page.locator(".plot:has(#use) .legend li").allTextContents()).join().includes("demo-gpt"));
    await until("5 requests today", async () => /Requests: 5/.test(await page.locator("#overview .tile").filter({ hasText: "Today" }).textContent()));
    // the keyboard reaches each step, the last first
    await chart.focus();
    const tip = page.locator(".plot:has(#use) .tip");
    await until("values of the hour", async () => /demo-echo 3/.test(await tip.textContent()));
    await page.keyboard.press("Home");
    assert.ok(!/demo-echo/.test(await tip.textContent()), "nothing a day ago");
    await page.keyboard.press("End");
    assert.match(await tip.textContent(), /demo-echo 3/);
    await page.locator("#use").evaluate((one) => one.blur());
    const box = await chart.boundingBox();
    await page.mouse.move(box.x + box.width - 4, box.y + 60);
    assert.match(await tip.textContent(), /demo-gpt 1/);
    await page.mouse.move(5, 5);
    const card = page.locator("section.card", { has: page.locator("#use") });
    await card.locator("summary").click();
    const cells = await card.locator("tbody tr").last().locator("td").allTextContents();
    assert.ok(cells.includes("3") && cells.includes("1"), String(cells));
    await card.locator('[data-key="tokens"]').click();
    await card.locator('[data-key="keys"]').click();
    await card.locator('[data-key="7d"]').click();
    await until("seven days", async () => (await card.locator("tbody tr").count()) === 7);
    await page.locator(".errors .fault", { hasText: /points/i }).waitFor();
    await until("an error rate", async () => (await page.locator("#error-rate circle").count()) > 0);
    await until("a first token", async () => (await page.locator("#speed circle").count()) > 0);
    clean();
  }],

  ["overview: what runs now can be stopped, and points left are shown with how long they last", async () => {
    const { server, page, clean } = await start("overview");
    const running = ask(server, "demo-story", "a story").catch(() => "cut");
    await page.locator("#now").getByRole("button", { name: /Stop/ }).click();
    await running;
    await page.getByText("Nothing is running.").waitFor();
    await ask(server, "demo-echo");
    await until("points left", async () => /[\d,]{3,}/.test(await page.locator("#points-left").textContent({ timeout: 1000 }).catch(() => "")));
    clean();
  }],

  ["a server that cannot be reached is said once, what is stale is greyed, and it ends by itself", async () => {
    const { page } = await start("overview");
    await page.locator("#overview .tile").first().waitFor();
    await page.context().setOffline(true);
    await page.locator("#offline").waitFor();
    assert.equal(await page.locator(".toast").count(), 0);
    assert.ok(await page.evaluate(() => document.documentElement.classList.contains("stale")));
    await page.locator('#tabs a[href="#activity"]').click();
    await page.locator(".tab.activity").waitFor();
    assert.equal(await page.locator(".notice.bad:visible").count(), 1);
    await page.context().setOffline(false);
    await page.locator("#offline").waitFor({ state: "hidden" });
    assert.ok(!(await page.evaluate(() => document.documentElement.classList.contains("stale"))));
  }],

  ["sign out: the typed key is forgotten, and the server asks for the password again", async () => {
    const server = await serve();
    const { page, go } = await open(server);
    await go("account");
    await page.locator("#key").fill("typed");
    await page.getByRole("button", { name: "Show usage" }).click();
    const refused = page.waitForResponse((answer) => answer.url().includes("/admin/sign-out") && answer.status() === 401);
    await page.locator("#sign-out").click();
    assert.equal((await refused).headers()["www-authenticate"].split(" ")[0], "Basic");
    await page.getByText("已登出").waitFor().catch(() => {});
    await page.goto(`${server.url}/admin`).catch(() => {});
    assert.equal(await page.evaluate(() => sessionStorage.getItem("poe-key")), null);
  }],

  ["without the right to enter, a browser gets a page in three languages that says what to do", async () => {
    const html = { accept: "text/html,application/xhtml+xml" };
    const closed = await serve({ variables: { ADMIN_PASSWORD: "" } });
    const locked = await serve();
    for (const [server, status, words] of [[locked, 401, "Sign in to open"], [closed, 404, "The admin page is closed"]]) {
      const answer = await fetch(`${server.url}/admin`, { headers: html });
      assert.equal(answer.status, status);
      const text = await answer.text();
      for (const one of [words, "ADMIN_PASSWORD=choose-one poe2openai", "管理頁面", "管理页面"]) assert.ok(text.includes(one), `${one}: ${text}`);
      assert.equal((await fetch(`${server.url}/admin`)).headers.get("content-type"), "application/json", "programs get JSON");
    }
    const { page } = await open(closed, { locked: true });
    await page.goto(`${closed.url}/admin`);
    await page.getByRole("heading", { name: "管理頁面已關閉" }).waitFor();
    await page.setViewportSize({ width: 360, height: 700 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  }],

  ["overview: with several replicas each has a row, with one there is no table", async () => {
    const { page, clean } = await start("overview");
    await page.getByText("Nothing is running.").waitFor();
    assert.equal(await page.locator("#replicas").count(), 0);
    const list = ["left", "right"].map((name, at) => ({ name, requests: 3 + at, errors: at, tokens: 1200, points: 7.4 }));
    await page.route("**/api/admin/overview*", async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ json: { ...await answer.json(), replicas: list } });
    });
    await page.locator("#replicas tbody tr").nth(1).waitFor();
    assert.deepEqual(await page.locator("#replicas tbody tr").allInnerTexts().then((rows) => rows.map((row) => row.split(/\s+/))), [["left", "3", "0", "1,200", "7"], ["right", "4", "1", "1,200", "7"]]);
    clean();
  }],
];
