// Details of a request, and recorded prompts and answers in a readable form.
import { ask, button, copy, facts, h, span } from './dom.js';
import { number, t } from './i18n.js';
import { listOf } from './rows.js';

const LONGEST = 300;
const block = (title, text) => [h('h3', title), h('pre', { tabindex: '0' }, text)];
const pretty = (value) => JSON.stringify(value, null, 2);

/** What a message says: its text, and its other parts as JSON. */
function contentOf(content) {
	if (content == null) return '';
	if (typeof content === 'string') return content;
	return listOf(content).map((part) => (typeof part === 'string' ? part : typeof part?.text === 'string' ? part.text : pretty(part))).join('\n') || pretty(content);
}

/** The messages of a body in any of the APIs, and what else it has. */
function messagesOf({ messages, input, system, instructions, prompt, ...rest }) {
	const list = [];
	for (const text of [system, instructions]) if (text) list.push(['system', contentOf(text)]);
	for (const one of listOf(messages ?? (typeof input === 'string' ? [{ role: 'user', content: input }] : input ?? (typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : [])))) {
		const { role, content, ...other } = one ?? {};
		const more = Object.keys(other).length && !(Object.keys(other).length === 1 && other.type === 'message') ? pretty(other) : '';
		list.push([String(role ?? one?.type ?? '–'), [contentOf(content), more].filter(Boolean).join('\n')]);
	}
	return { list, rest };
}

function request(text) {
	let body;
	try { body = JSON.parse(text); } catch { return block(t('Request'), text); }
	const { list, rest } = messagesOf(body?.constructor === Object ? body : {});
	if (!list.length) return block(t('Request'), pretty(body));
	return [h('h3', t('Request')), h('div.messages', list.map(([role, said]) => h('div', { class: `message ${role}` }, h('b', role),
		said.length > LONGEST * 4 ? h('details', h('summary', `${said.slice(0, LONGEST)}…`), h('pre', { tabindex: '0' }, said)) : h('pre', { tabindex: '0' }, said)))),
	Object.keys(rest).length > 0 && h('details', h('summary', t('otherFields')), h('pre', { tabindex: '0' }, pretty(rest))),
	h('details', h('summary', 'JSON'), h('pre', { tabindex: '0', class: 'raw' }, pretty(body)))];
}

export function details(one) {
	const { inspection } = one;
	const tokens = (value) => (value == null ? null : number(value));
	ask(one.model || one.endpoint, [
		facts([['ID', one.id], [t('time'), new Date(one.time).toLocaleString(document.documentElement.lang, { hour12: false })],
			[t('status'), one.status || t('running')], [t('client'), `${one.client} ${one.agent || ''}`.trim()], [t('key'), one.key],
			[t('endpoint'), `${one.method || ''} ${one.endpoint}${one.stream ? ` (${t('stream')})` : ''}`],
			[t('model'), one.model], [t('bot'), one.bot], [t('Route'), one.route],
			[t('firstByte'), span(one.first_byte_ms)], [t('duration'), span(one.duration_ms)],
			[t('tokensIn'), tokens(one.prompt_tokens)], [t('tokensOut'), tokens(one.completion_tokens)], [t('Reasoning'), tokens(one.reasoning_tokens || null)],
			[t('cachedTokens'), tokens(one.cached_tokens || null)], [t('Points'), one.points == null ? null : number(Math.round(one.points * 100) / 100)], [t('uploads'), one.uploads || null]]),
		one.error && block(t('errors'), one.error),
		inspection && [inspection.request && request(inspection.request), inspection.answer && block(t('Answer'), inspection.answer),
			h('div.actions', button(t('Copy'), () => copy(`${inspection.request}\n\n${inspection.answer}`)))]], []);
}
