// Chat with any model, streamed through this server.
import { Refusal, get, lines, poeKey, send } from './api.js';
import { ask, button, chips, complain, copy, field, h, input, span, toast } from './dom.js';
import { faultOf, parameterForm } from './form.js';
import { number, t } from './i18n.js';
import { listOf, textOf } from './rows.js';
import { snippets } from './snippets.js';

const talk = { model: '', system: '', turns: [], parameters: {}, files: [], draft: '' };
let models = [];
let page = null;
let running = null;
let context = null;

const entry = () => models.find((model) => (model.name || model.id).toLowerCase() === talk.model.toLowerCase())
	|| models.find((model) => model.id.toLowerCase() === talk.model.toLowerCase());

function request(turns = talk.turns) {
	const content = ({ text, files }) => (files?.length ? [...(text ? [{ type: 'text', text }] : []), ...files.map(part)] : text);
	const messages = turns.filter((turn) => turn.role === 'user' || turn.text).map((turn) => ({ role: turn.role, content: content(turn) }));
	if (talk.system.trim()) messages.unshift({ role: 'system', content: talk.system });
	return { model: talk.model, messages, stream: true, stream_options: { include_usage: true },
		...(Object.keys(talk.parameters).length ? { poe: { parameters: talk.parameters } } : {}) };
}

const part = ({ name, type, data }) => (type.startsWith('image/')
	? { type: 'image_url', image_url: { url: data } } : { type: 'file', file: { filename: name, file_data: data } });

const PICTURE = /!\[([^\]\n]*)\]\((https?:\/\/[^\s)]+|data:image\/[^\s)]+)\)/g;

/** Pictures load only on a click: the page sends no request to another host by itself. */
function pictures(text) {
	return [...text.matchAll(PICTURE)].map(([, alt, url]) => {
		const mayLoad = !url.startsWith('http://') || url.startsWith(`${location.origin}/`);
		const name = alt || t('picture');
		const link = h('a', { href: url, target: '_blank', rel: 'noreferrer noopener' }, t('openLink', { name }));
		const show = button(t('showPicture', { name }), () => show.replaceWith(h('img', { src: url, alt: name, referrerpolicy: 'no-referrer' })));
		return h('p.actions', mayLoad && show, !url.startsWith('data:') && link);
	});
}

function attached(files, drop) {
	return h('ul.files', files.map((file, index) => h('li',
		file.type.startsWith('image/') && h('img', { src: file.data, alt: '' }), h('span', file.name),
		drop && button('✕', () => drop(index), { class: 'plain', label: t('removeOne', { name: file.name }) }))));
}

function figures({ first, total, usage, model }) {
	const parts = [model];
	if (first != null) parts.push(t('firstToken', { time: span(first) }));
	if (total != null) parts.push(t('total', { time: span(total) }));
	if (usage) {
		parts.push(`${number(usage.prompt_tokens)} → ${number(usage.completion_tokens)} tokens`);
		const thought = usage.completion_tokens_details?.reasoning_tokens;
		if (thought) parts.push(t('thoughtTokens', { n: thought }));
	}
	return parts.filter(Boolean).join(' · ');
}

/** Element of one turn, with the nodes that a streamed answer is appended to. */
function shown(turn) {
	const text = document.createTextNode(turn.text);
	const thought = document.createTextNode(turn.thought || '');
	const thinking = h('details.thought', { hidden: !turn.thought }, h('summary', t('Reasoning')), h('p', thought));
	const extras = h('div', turn.role === 'assistant' && pictures(turn.text));
	const note = h('small.hint.figures', turn.figures ? figures(turn.figures) : '');
	const fault = h('p.notice.bad', { role: 'alert', hidden: !turn.fault }, turn.fault || '');
	const who = t(turn.role === 'user' ? 'You' : 'Answer');
	const element = h('article', { class: `turn ${turn.role}`, label: who },
		h('header', h('b', who), h('span.gap'),
			turn.text && button(t('Copy'), () => copy(turn.text), { class: 'plain' })),
		thinking, h('p.said', text), turn.files?.length > 0 && attached(turn.files), extras, fault, note);
	return { element, text, thought, thinking, note };
}

function conversation() {
	const views = talk.turns.map(shown);
	page.log.replaceChildren(...(views.length ? views.map((one) => one.element) : [h('p.wait', t('tryHint'))]));
	page.log.scrollTop = page.log.scrollHeight;
	return views.at(-1);
}

function ready() {
	const fault = talk.model.trim() ? faultOf(entry()?.parameters, talk.parameters) : t('needsModel');
	if (fault) toast(fault, 'bad');
	return !fault && !running;
}

async function say() {
	if (!ready()) return;
	const text = page.input.value.trim();
	if (text || talk.files.length) talk.turns.push({ role: 'user', text, files: talk.files });
	if (talk.turns.at(-1)?.role !== 'user') return page.input.focus();
	talk.files = [];
	talk.draft = page.input.value = '';
	pending();
	await answer();
}

/** Appends the chunks of an answer to its turn, and to the page if the tab is open. */
async function receive(response, turn, began) {
	let ended = false;
	for await (const line of lines(response)) {
		if (line === '[DONE]') { ended = true; continue; }
		const chunk = JSON.parse(line);
		if (chunk.error) throw new Refusal(0, chunk.error);
		if (chunk.usage) turn.figures.usage = chunk.usage;
		const delta = chunk.choices?.[0]?.delta || {};
		const thought = delta.reasoning_content ?? delta.reasoning ?? '';
		const text = delta.content ?? '';
		if (!thought && !text) continue;
		turn.figures.first ??= performance.now() - began;
		turn.thought += thought;
		turn.text += text;
		if (!page) continue;
		page.view.thought.appendData(thought);
		page.view.text.appendData(text);
		page.view.thinking.hidden = !turn.thought;
		if (page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 160) page.log.scrollTop = page.log.scrollHeight;
	}
	if (!ended) throw new Error(t('brokeOff'));
}

async function answer() {
	const body = request();
	const turn = { role: 'assistant', text: '', thought: '', figures: { model: talk.model } };
	talk.turns.push(turn);
	const abort = new AbortController();
	const began = performance.now();
	running = abort;
	page.view = conversation();
	working();
	const ticking = setInterval(() => {
		turn.figures.total = performance.now() - began;
		if (page) page.view.note.textContent = figures(turn.figures);
	}, 250);
	try {
		const key = context.settings?.has_poe_key ? '' : poeKey.get();
		await receive(await send('/api/admin/try', { method: 'POST', body, key, signal: abort.signal }), turn, began);
	} catch (error) {
		turn.fault = error.name === 'AbortError' ? t('Stopped.') : error.message;
	} finally {
		clearInterval(ticking);
		turn.figures.total = performance.now() - began;
		running = null;
		if (page) {
			conversation();
			working();
			page.live.textContent = turn.fault || t('answered');
			page.input.focus();
		}
	}
}

function working() {
	page.stop.hidden = !running;
	page.say.hidden = !!running;
	page.log.setAttribute('aria-busy', !!running);
}

const read = (file) => new Promise((resolve, reject) => {
	const reader = new FileReader();
	reader.onload = () => resolve({ name: file.name || 'picture', type: file.type || 'application/octet-stream', data: reader.result });
	reader.onerror = () => reject(reader.error);
	reader.readAsDataURL(file);
});

async function attach(files) {
	try {
		talk.files.push(...await Promise.all([...files].map(read)));
		pending();
	} catch (error) { complain(error); }
}

const pending = () => page.files.replaceChildren(attached(talk.files, (index) => { talk.files.splice(index, 1); pending(); }));

function parameters() {
	const model = entry();
	page.about.textContent = textOf(model?.description);
	page.parameters.replaceChildren(parameterForm(model?.parameters, talk.parameters, (values) => { talk.parameters = values; }));
}

function choose(name) {
	const before = entry();
	talk.model = name;
	if (entry() !== before) {
		talk.parameters = {};
		parameters();
	}
}

async function clients() {
	const turns = talk.turns.slice(0, talk.turns.findLastIndex((turn) => turn.role === 'user') + 1);
	const all = snippets(location.origin, request(turns.length ? turns : [{ role: 'user', text: 'Hello' }]), entry());
	const text = h('pre', { tabindex: '0', id: 'snippet' });
	const where = h('p.hint');
	const show = (id) => {
		const one = all.find((other) => other.id === id);
		text.textContent = one.text;
		where.textContent = [one.where && t(one.where), t('keyHint')].filter(Boolean).join(' — ');
		for (const tab of tabs.children) tab.setAttribute('aria-pressed', tab.dataset.key === id);
	};
	const tabs = chips(t('Use in other programs'), all.map(({ id, label }) => [id, label]), show);
	show('curl');
	await ask(t('Use in other programs'), [tabs, where, text, h('div.actions', button(t('Copy'), () => copy(text.textContent), { class: 'primary', id: 'copy-snippet' }))], []);
}

export async function mount(root, app, argument) {
	context = app;
	models = (await get('/api/admin/models')).models.filter((model) => model.enabled !== false);
	if (argument && argument !== talk.model) { talk.model = argument; talk.parameters = {}; }
	if (!talk.model) talk.model = models.find((model) => listOf(model.output_modalities).includes('text'))?.name || models[0]?.id || '';
	const names = h('datalist', { id: 'model-names' }, models.map((model) => h('option', { value: model.name || model.id }, model.owned_by || '')));
	page = {
		log: h('div', { id: 'log', tabindex: '0', role: 'log', label: t('Conversation') }),
		model: input(talk.model, choose, { id: 'model', list: 'model-names', on: { focus: ({ target }) => target.select() } }),
		about: h('p.hint'), parameters: h('div', { id: 'parameters' }), files: h('div'), live: h('p.sr', { role: 'status' }),
		input: h('textarea', { id: 'say', rows: '3', value: talk.draft, placeholder: t('sayHint'), label: t('Your message'), on: {
			input: ({ target }) => { talk.draft = target.value; },
			keydown: (event) => { if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); say(); } },
			paste: (event) => { if (event.clipboardData.files.length) { event.preventDefault(); attach(event.clipboardData.files); } } } }),
		say: button(t('Send'), say, { class: 'primary', id: 'send' }),
		stop: button(t('Stop'), () => running?.abort(), { class: 'danger', id: 'stop', hidden: true }),
	};
	const picker = h('input', { type: 'file', class: 'sr', id: 'attach', multiple: true, tabindex: '-1', label: t('Attach'),
		on: { change: () => { attach(picker.files); picker.value = ''; } } });
	root.replaceChildren(h('div.frame.talk',
		h('section.card.chat', { label: t('Conversation') },
		page.log, page.live,
		h('div.composer', page.files, page.input, h('div.actions',
			button(t('Attach'), () => picker.click()), picker,
			button(t('again'), () => { if (talk.turns.at(-1)?.role === 'assistant' && ready()) { talk.turns.pop(); answer(); } }),
			button(t('New chat'), () => { if (!running) { talk.turns = []; conversation(); page.input.focus(); } }),
			h('span.gap'), page.stop, page.say))),
		h('aside.card', { label: t('Options') },
			field(t('model'), page.model), names, page.about,
			!context.settings?.has_poe_key && field(t('Poe API key'), input(poeKey.get(), (key) => poeKey.set(key.trim()), { type: 'password' }), t('poeKeyHint')),
			field(t('system'), h('textarea', { rows: '3', value: talk.system, on: { input: ({ target }) => { talk.system = target.value; } } })),
			h('h2.sub', t('Parameters')), page.parameters,
			h('div.actions', button(t('Use in other programs'), clients, { id: 'elsewhere' })))));
	parameters();
	pending();
	// show the answer that went on streaming while another tab was open
	page.view = conversation();
	working();
}

export function unmount() { page = null; }
