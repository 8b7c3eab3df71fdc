// Test harness for the stories: the real server with its demo Poe, a Poe with a long list, and Chromium.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [program, modules, browserPath = "/usr/bin/chromium"] = process.argv.slice(2);
if (!program || !modules) {
  console.error("run.mjs SERVER NODE_MODULES [CHROMIUM]");
  process.exit(2);
}
const load = createRequire(resolve(modules, "package.json"));
const { chromium } = load("playwright-core");
export const axe = load.resolve("axe-core/axe.min.js");
export { assert };

const PATIENCE = 10_000;
const closing = [];
const counts = { passed: 0, failed: 0 };

/** Runs a story and prints its result. ONLY=text runs the stories whose names contain the text. */
export async function check(name, body) {
  if (!name.includes(process.env.ONLY ?? "")) return;
  try {
    await body();
    counts.passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    counts.failed += 1;
    console.log(`not ok ${name}\n${error?.stack || error}`);
  }
}

export async function done() {
  for (const close of closing.reverse()) await close();
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exit(counts.failed ? 1 : 0);
}

/** Starts the program with these flags, variables and models.yaml. */
export async function serve({ flags = ["--demo"], variables = { ADMIN_PASSWORD: "secret" }, yaml } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "poe2openai-"));
  const file = join(directory, "models.yaml");
  if (yaml) writeFileSync(file, yaml);
  const child = spawn(program, ["--host", "127.0.0.1", "--port", "0", "--rate-limit-ms", "0", "--config-dir", directory, ...flags], {
    env: { PATH: process.env.PATH, ...variables },
    stdio: ["ignore", "pipe", "inherit"],
  });
  closing.push(async () => {
    const gone = new Promise((resolve) => child.on("exit", resolve));
    if (child.exitCode === null && child.kill("SIGKILL")) await gone;
    rmSync(directory, { recursive: true, force: true });
  });
  const url = await new Promise((resolve, reject) => {
    let output = "";
    child.stdout.on("data", (data) => {
      output += data;
      const found = /listens on (http:\/\/\S+)/.exec(output);
      if (found) resolve(found[1]);
    });
    child.on("exit", () => reject(new Error(`the server exited: ${output}`)));
  });
  const authorization = `Basic ${Buffer.from(`admin:${variables.ADMIN_PASSWORD ?? "123456"}`).toString("base64")}`;
  const get = async (path) => (await fetch(url + path, { headers: { authorization } })).json();
  const post = async (path, body) => {
    const shown = path.startsWith("/api/admin") ? authorization : "Bearer demo";
    const response = await fetch(url + path, { method: "POST", headers: { authorization: shown, "content-type": "application/json" }, body: JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  };
  return { url, file, get, post, password: variables.ADMIN_PASSWORD ?? "123456" };
}

/** Address of the server's demo Poe, from the settings. */
export async function demoOf(server) {
  const { rows } = await server.get("/api/admin/settings");
  return rows.find((row) => row.name === "POE_BASE_URL").value;
}

/** Queries that the demo's bots received, oldest first. */
export async function queriesOf(server) {
  const body = await (await fetch(`${await demoOf(server)}/demo/queries`)).json();
  return body.queries ?? body;
}

/** A Poe that serves only the list: `count` models of ten owners, each extended by `odd`. */
export async function listing(count, odd = {}) {
  const data = Array.from({ length: count }, (_, at) => ({
    id: `model-${String(at).padStart(3, "0")}`,
    object: "model",
    created: 1_700_000_000_000 + at * 86_400_000,
    description: `Number ${at}`,
    owned_by: `Owner ${at % 10}`,
    architecture: { input_modalities: at % 3 ? ["text"] : ["text", "image"], output_modalities: ["text"] },
    supported_features: at % 2 ? ["tools"] : [],
    pricing: { prompt: "0.000001", completion: "0.000002" },
    context_length: 100_000 + at,
    parameters: [
      { name: "effort", schema: { enum: ["low", "high"] }, default_value: "low" },
      { name: "budget", schema: { type: "number", minimum: 0, maximum: 100 } },
      { name: "web_search", schema: { type: "boolean" }, default_value: false },
    ],
    ...odd,
  }));
  const poe = http.createServer((request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ object: "list", data }));
  });
  await new Promise((resolve) => poe.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => { poe.close(resolve); poe.closeAllConnections(); }));
  return `http://127.0.0.1:${poe.address().port}`;
}

/** A foreign web page on another port. */
export async function foreign(html) {
  const site = http.createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(html);
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => { site.close(resolve); site.closeAllConnections(); }));
  return `http://127.0.0.1:${site.address().port}`;
}

/** With ASSETS=directory the page's files come from there, under the headers of the server: for work on the page without a build after each change. */
function fromDisk(route, server) {
  const name = /^\/admin(?:\/([\w.]*))?$/.exec(new URL(route.request().url()).pathname)?.[1] ?? null;
  if (!process.env.ASSETS || name === null || route.request().method() !== "GET") return null;
  const type = { js: "text/javascript", css: "text/css", json: "application/json" }[name.split(".").at(-1)];
  if (!type) return null;
  return (async () => {
    const like = await route.fetch({ url: `${server.url}/admin/style.css` });
    const headers = { ...like.headers(), "content-type": `${type}; charset=utf-8` };
    delete headers["content-encoding"];
    await route.fulfill({ status: like.status(), headers, body: readFileSync(join(process.env.ASSETS, name)) });
  })();
}

let browser = null;

/** Opens a browser page on a server. `faults` holds errors and warnings of the console, `strangers` requests to other hosts. */
export async function open(server, options = {}) {
  if (!browser) {
    browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
    closing.push(() => browser.close());
  }
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    colorScheme: "light",
    acceptDownloads: true,
    ...(options.locked ? {} : { httpCredentials: { username: "admin", password: server.password } }),
    ...options.context,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const faults = [];
  const strangers = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error.stack)));
  // requests to other hosts are recorded and blocked
  await context.route("**/*", (route) => {
    const { origin } = new URL(route.request().url());
    if (origin === server.url) return fromDisk(route, server) || route.continue();
    strangers.push(route.request().url());
    return route.abort();
  });
  const go = async (hash = "models") => {
    await page.goto(`${server.url}/admin#${hash}`);
    await page.locator("#tabs a[aria-current]").waitFor();
  };
  const clean = () => assert.deepEqual({ faults, strangers }, { faults: [], strangers: [] });
  return { page, context, go, clean, faults, strangers, close: () => context.close() };
}

/** Waits until `read` returns a truthy value. */
export async function until(what, read) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await read();
    if (value) return value;
    if (Date.now() > end) assert.fail(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
