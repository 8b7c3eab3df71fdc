// Stories of the Chat tab.

import { execFileSync } from "node:child_process";

import { assert, demoOf, queriesOf, until } from "./harness.mjs";
import { answer, ended, say, start } from "./steps.mjs";

// one red pixel
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64");

export const stories = [
  ["chat: an answer streams, with collapsed reasoning, tokens and times", async () => {
    const { page, clean } = await start("chat/demo-think");
    await say(page, "Why is the sky blue?");
    await ended(page);
    assert.match(await answer(page).locator(".said").textContent(), /sky/);
    const thought = answer(page).locator("details");
    assert.equal(await thought.evaluate((one) => one.open), false);
    await thought.locator("summary").click();
    assert.ok((await thought.locator("p").textContent()).length > 10);
    const figures = await answer(page).locator(".figures").textContent();
    assert.match(figures, /demo-think.*first token .*total .*\d+ → \d+ tokens.*for reasoning/);
    clean();
  }],

  ["chat: chunks are shown as they arrive, and Stop also stops the bot", async () => {
    const { server, page, clean } = await start("chat/demo-story");
    await say(page, "a story");
    const length = () => answer(page).locator(".said").textContent().then((text) => text.length);
    const first = await until("a first chunk", async () => (await page.locator(".turn.assistant").count()) && length());
    await until("more chunks", async () => (await length()) > first);
    assert.ok(await page.locator("#stop").isVisible(), "still running while it grows");
    await page.locator("#stop").click();
    await ended(page);
    const stopped = await length();
    assert.match(await answer(page).locator(".notice").textContent(), /Stopped/);
    const streams = async () => (await fetch(`${await demoOf(server)}/demo/stats`)).text();
    await until("the end of the bot's stream", async () => {
      const stats = JSON.parse(await streams());
      const open_ = stats.streams?.["demo-story"]?.open ?? stats.bots?.["demo-story"]?.open ?? stats.open;
      return open_ === 0;
    });
    assert.equal(await length(), stopped);
    clean();
  }],

  ["chat: system prompt, history, parameters and an attached picture reach the bot", async () => {
    const { server, page, clean } = await start("chat/demo-gpt");
    await page.getByLabel("System prompt").fill("Be brief.");
    await page.getByLabel("verbosity").selectOption({ label: "low" });
    await page.locator("#attach").setInputFiles({ name: "red.png", mimeType: "image/png", buffer: PIXEL });
    await page.getByText("red.png").waitFor();
    await say(page, "first");
    await ended(page);
    await say(page, "second");
    await ended(page);
    const turns = (await queriesOf(server)).at(-1).body.query;
    assert.deepEqual(turns.map((turn) => turn.role), ["system", "user", "bot", "user"]);
    assert.equal(turns[1].attachments[0].content_type, "image/png");
    assert.deepEqual(turns[3].parameters, { verbosity: "low" });
    clean();
  }],

  ["chat: an error shows Poe's message", async () => {
    const { page } = await start("chat/demo-error-http-402");
    await say(page, "x");
    await ended(page);
    assert.match(await answer(page).locator(".notice.bad").textContent(), /points/i);
  }],

  ["chat: the request as code works as it is", async () => {
    const { server, page, clean } = await start("chat/demo-gpt");
    await page.getByLabel("web_search").selectOption({ label: "On" });
    await page.getByLabel("Temperature").fill("0.5");
    await say(page, "it's \"quoted\" $HOME");
    await ended(page);
    await page.locator("#as-code").click();
    const texts = {};
    for (const chip of await page.locator("dialog .chip").all()) {
      await chip.click();
      texts[await chip.textContent()] = await page.locator("#snippet").textContent();
    }
    assert.deepEqual(Object.keys(texts), ["curl", "Python", "Node"]);
    for (const [name, text] of Object.entries(texts)) assert.ok(text.includes(server.url) && text.includes("demo-gpt") && text.includes("0.5"), `${name}: ${text}`);
    const out = execFileSync("bash", ["-c", texts.curl.replace("curl -N", "curl -sN")], { env: { ...process.env, KEY: "demo" } }).toString();
    assert.ok(out.trim().endsWith("data: [DONE]"), out);
    const turn = (await queriesOf(server)).at(-1).body.query.at(-1);
    assert.deepEqual([turn.content, turn.parameters], ["it's \"quoted\" $HOME", { web_search: true }]);
    clean();
  }],

  ["chat: Markdown becomes elements, HTML stays text, math stays text", async () => {
    const { page, clean } = await start("chat/demo-echo");
    const text = [
      "# Title **bold**", "A *soft* line with `code_with_underscores`, ~~gone~~ and snake_case_words.", "",
      "- one", "  - inner", "    1. deep", "- [x] two", "", "3. three", "4. four", "", "> quoted", "> > twice", "",
      "| a | b |", "|---|--:|", "| 1 \\| x | **2** |", "", "```js", "const x = '<b>';", "", "\tlet y; // **not bold**", "```", "",
      "See [the site](https://example.com/a_(b)) or https://example.com/c_d_e. Not [this](javascript:alert(1)).", "",
      "<img src=x onerror=\"document.title='hacked'\"> <script>document.title='hacked'</script>", "",
      "Math $a_1 * b_2 * c$ and \\(x_1 * y_2 *\\), cost $5 and **$6**.", "", "$$", "a *b* c", "$$", "", "---", "", "a < b && c > d",
    ].join("\n");
    await page.locator("#say").fill(text);
    await page.keyboard.press("Enter");
    await ended(page);
    const said = answer(page).locator(".said");
    const shown = await said.evaluate((place) => {
      const all = (what) => [...place.querySelectorAll(what)].map((one) => one.textContent);
      const links = [...place.querySelectorAll("a")].map((one) => [one.getAttribute("href"), one.target, one.rel]);
      return { strong: all("strong"), em: all("em"), del: all("del"), code: all("p code"), pre: all("pre code"), language: all(".code header span"), deep: all("ul ul ol li"), inner: all("ul ul > li").length,
        start: place.querySelector("li") && [...place.querySelectorAll("ol")].at(-1).start, quotes: all("blockquote blockquote"), cells: all("td"), right: all("td.num"), heads: all("th"), title: all("h3"),
        rules: place.querySelectorAll("hr").length, links, scripts: place.querySelectorAll("script, img").length, text: place.textContent };
    });
    assert.deepEqual(shown.strong, ["bold", "2", "$6"]);
    assert.deepEqual([shown.em, shown.del, shown.code], [["soft"], ["gone"], ["code_with_underscores"]]);
    assert.deepEqual([shown.pre, shown.language], [["const x = '<b>';\n\n\tlet y; // **not bold**"], ["js"]]);
    assert.deepEqual([shown.deep, shown.start, shown.quotes, shown.title, shown.rules], [["deep"], 3, ["twice"], ["Title bold"], 1]);
    assert.deepEqual([shown.heads, shown.cells, shown.right], [["a", "b"], ["1 | x", "2"], ["2"]]);
    assert.deepEqual(shown.links, [["https://example.com/a_(b)", "_blank", "noreferrer noopener"], ["https://example.com/c_d_e", "_blank", "noreferrer noopener"]]);
    assert.equal(shown.scripts, 0);
    for (const words of ["snake_case_words", "☑ two", "<script>document.title='hacked'</script>", "$a_1 * b_2 * c$", "\\(x_1 * y_2 *\\)", "a *b* c", "a < b && c > d", "this (javascript:alert(1))"]) assert.ok(shown.text.includes(words), words);
    assert.equal(await page.title(), "poe2openai");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await said.locator(".code").getByRole("button", { name: "Copy" }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "const x = '<b>';\n\n\tlet y; // **not bold**");
    clean();
  }],

  ["chat: any cut of any Markdown is shown at once, and long nonsense does not block the page", async () => {
    const { page, clean } = await start("chat");
    const results = await page.evaluate(async () => {
      const { render } = await import("/admin/markdown.js");
      const text = "# h\n\n- a\n  - b **c** `d`\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> q\n\n![x](https://h/i.png) [y](https://h/) \\[ m \\]\n1. x\n\n\ttab\n";
      const media = () => null;
      const link = (url, name, kind) => kind && document.createElement("img");
      const whole = document.createElement("div");
      render(whole, text, link);
      const grown = document.createElement("div");
      for (let end = 0; end <= text.length; end += 1) render(grown, text.slice(0, end), link);
      const times = {};
      for (const piece of ["**", "*a ", "_a", "[", "![", "`", "> ", "- ", "$", "\\(", "~~x", "|", "# ", "\n- a", "\n> b", "https://", "<http://", "***a", "1. "]) {
        const begin = performance.now();
        render(document.createElement("div"), piece.repeat(50_000 / piece.length), media);
        times[piece] = performance.now() - begin;
      }
      return { same: whole.innerHTML === grown.innerHTML, slow: Object.entries(times).filter(([, time]) => time > 5000) };
    });
    assert.deepEqual(results, { same: true, slow: [] });
    clean();
  }],

  ["chat: pictures, sound and video load on a click, or at once where that is allowed, from this server", async () => {
    const { server, page, clean } = await start("chat/demo-painter");
    await say(page, "a cat");
    await until("a row of progress", async () => /Generating image|Waiting for Poe/.test(await answer(page).locator(".status").textContent().catch(() => "")));
    await ended(page);
    assert.equal(await answer(page).locator("img").count(), 0);
    assert.equal(await answer(page).locator("a[rel~=noreferrer]").count(), 1);
    await answer(page).getByRole("button", { name: "Show cat" }).click();
    const picture = answer(page).locator("img");
    await until("the picture", () => picture.evaluate((one) => one.naturalWidth === 16));
    assert.ok((await picture.getAttribute("src")).startsWith(`${server.url}/art/`));
    await page.locator("#model").fill("demo-voice");
    await say(page, "hum");
    await ended(page);
    assert.equal(await answer(page).locator("audio").count(), 0);
    await page.getByLabel("Load pictures, sound and video").check();
    await until("the sound", () => answer(page).locator("audio").evaluate((one) => one.duration > 0));
    assert.equal(await page.locator(".turn.assistant img").count(), 1, "the picture stays");
    clean();
  }],

  ["chat: edit, ask again and delete change the conversation that the bot receives", async () => {
    const { server, page, clean } = await start("chat/demo-echo");
    for (const words of ["first", "second"]) { await say(page, words); await ended(page); }
    await page.locator(".turn.user").last().getByRole("button", { name: "Edit" }).click();
    await page.locator(".edit textarea").fill("changed");
    await page.getByRole("button", { name: "Save and ask" }).click();
    await until("the new answer", async () => /changed/.test(await answer(page).locator(".said").textContent()));
    await ended(page);
    const last = async () => (await queriesOf(server)).at(-1).body.query.map((turn) => turn.content);
    assert.deepEqual((await last()).filter((_, n) => n % 2 === 0), ["first", "changed"]);
    const count = (await queriesOf(server)).length;
    await answer(page).getByRole("button", { name: "Ask again" }).click();
    await until("another query", async () => (await queriesOf(server)).length === count + 1);
    await ended(page);
    assert.equal(await page.locator(".turn.assistant").count(), 2);
    await page.locator(".turn.user").first().getByRole("button", { name: "Delete" }).click();
    await say(page, "third");
    await ended(page);
    assert.deepEqual((await last()).filter((_, n) => n % 2 === 0), ["changed", "third"]);
    clean();
  }],

  ["chat: two models side by side, each with its own history; temperature, limit and JSON are sent", async () => {
    const { server, page, clean } = await start("chat/demo-echo");
    await page.locator("#model2").fill("demo-gpt");
    await page.getByLabel("Temperature").fill("3");
    await say(page, "not sent");
    assert.equal(await page.getByLabel("Temperature").getAttribute("aria-invalid"), "true");
    assert.equal(await page.locator(".turn").count(), 0, "a wrong option is mended first");
    await page.getByLabel("Temperature").fill("1");
    await page.locator("#limit").fill("500");
    const sent = page.waitForRequest((one) => one.url().endsWith("/api/admin/try") && one.postDataJSON().model === "demo-gpt");
    await page.locator("#say").fill("hello both");
    await page.keyboard.press("Enter");
    const body = (await sent).postDataJSON();
    assert.deepEqual([body.temperature, body.max_tokens, body.response_format], [1, 500, undefined]);
    await ended(page);
    assert.deepEqual(await page.locator(".answers.n2 .turn.assistant header b").allTextContents(), ["demo-echo", "demo-gpt"]);
    const [left, right] = await Promise.all([0, 1].map((n) => page.locator(".answers.n2 .turn").nth(n).boundingBox()));
    assert.ok(left.x + left.width <= right.x && Math.abs(left.y - right.y) < 2, "side by side");
    await say(page, "again");
    await ended(page);
    const bots = (await queriesOf(server)).slice(-2).map((one) => [one.bot, one.body.query.length]);
    assert.deepEqual(bots.sort(), [["demo-echo", 3], ["demo-gpt", 3]]);
    clean();
  }],

  ["chat: conversations stay in this browser until they are cleared", async () => {
    const { page, go, clean } = await start("chat/demo-echo");
    await say(page, "remember me");
    await ended(page);
    await page.locator("#new-chat").click();
    await say(page, "another one");
    await ended(page);
    await page.reload();
    await page.locator("#talks").waitFor();
    assert.equal(await page.locator(".turn").count(), 0);
    const titles = await page.locator("#talks option").allTextContents();
    assert.equal(titles.length, 3, String(titles));
    await page.locator("#talks").selectOption({ index: 2 });
    assert.match(await page.locator(".turn.user .said").textContent(), /remember me/);
    assert.match(await answer(page).locator(".said").textContent(), /remember me/);
    await page.locator("#drop-chat").click();
    assert.equal(await page.locator("#talks option").count(), 2);
    await page.locator("#clear-chats").click();
    await page.locator("dialog").getByRole("button", { name: "Clear all" }).click();
    await page.locator("#talks").waitFor({ state: "detached" });
    await go("models");
    await go("chat");
    assert.equal(await page.locator("#talks").count(), 0);
    assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("remember me"));
    clean();
  }],

  ["chat: on a phone the model, an answer and the composer are in the first screen", async () => {
    const { page, clean } = await start("chat/demo-echo", { context: { viewport: { width: 390, height: 844 }, hasTouch: true } });
    for (const place of ["#model", "#say", "#send"]) {
      const box = await page.locator(place).boundingBox();
      assert.ok(box && box.y >= 0 && box.y + box.height <= 844, `${place}: ${JSON.stringify(box)}`);
    }
    await say(page, "hello");
    await ended(page);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    clean();
  }],
];
