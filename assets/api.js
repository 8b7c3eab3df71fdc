// Client for the server's API.
import { t } from './i18n.js';

/** Error response of the server. Its message is English; other languages prefix the translation of its code. */
export class Refusal extends Error {
	constructor(status, error) {
		const code = `code.${error?.code}`;
		super((t(code) === code ? '' : t(code)) + (error?.message || `HTTP ${status}`));
		this.status = status;
		this.param = error?.param || null;
		this.code = error?.code || null;
	}
}

export async function send(path, { method = 'GET', body, headers = {}, key, signal } = {}) {
	// a page opened with the password in its address may not fetch relative paths
	const response = await fetch(location.origin + path, {
		method,
		signal,
		cache: 'no-store',
		headers: { ...headers, ...(body && { 'Content-Type': 'application/json' }), ...(key && { 'X-Poe-Key': key }) },
		body: body && JSON.stringify(body),
	});
	if (response.ok) return response;
	const answer = await response.json().catch(() => null);
	throw new Refusal(response.status, answer?.error);
}

export const get = async (path, options) => (await send(path, options)).json();
export const post = async (path, body, headers) => (await send(path, { method: 'POST', body, headers })).json();

/** The `data:` lines of an event stream, one by one. */
export async function* lines(response) {
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = '';
	for (;;) {
		const { value, done } = await reader.read();
		rest += value || '';
		const whole = rest.split(/\r?\n/);
		rest = whole.pop();
		for (const line of whole) if (line.startsWith('data:')) yield line.slice(5).trim();
		if (done) return;
	}
}

/** Poe API key entered on this page; kept until the browser tab is closed. */
export const poeKey = {
	get: () => sessionStorage.getItem('poe-key') || '',
	set: (key) => (key ? sessionStorage.setItem('poe-key', key) : sessionStorage.removeItem('poe-key')),
};
