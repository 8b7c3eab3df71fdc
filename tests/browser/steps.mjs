// Steps that several stories share.

import { open, serve } from "./harness.mjs";

/** A page on a server of its own, at a tab. */
export async function start(hash, options = {}) {
  const server = await serve(options.server);
  const view = await open(server, options);
  await view.go(hash);
  return { server, ...view };
}

export async function say(page, text) {
  await page.locator("#say").fill(text);
  await page.keyboard.press("Enter");
}

export const answer = (page) => page.locator(".turn.assistant").last();
export const ended = (page) => page.locator("#send").waitFor();
