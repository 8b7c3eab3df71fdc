// Chat with one model or two side by side, streamed through this server. Conversations are kept in this browser.
import { Refusal, get, lines, poeKey, send } from './api.js';
import { ask, button, check, chips, complain, copy, field, h, input, invalid, memory, select, span, toast } from './dom.js';
import { faultOf, parameterForm } from './form.js';
import { number, t } from './i18n.js';
import { render } from './markdown.js';
import { media } from './media.js';
import { listOf, textOf } from './rows.js';
import { snippets } from './snippets.js';

const KEPT = 50;
/** A longer attachment is not kept with its conversation: browsers store a few megabytes in all. */
const MAX_KEPT_FILE = 200_000;

const fresh = (lanes = [{ model: '', parameters: {} }], system = '', options = {}) => ({ id: Date.now(), lanes, system, options, turns: [] });
let talk = fresh();
let draft = { text: '', files: [] };
let models = [];
let page = null;
let running = null;
let context = null;
const views = new WeakMap();

const entryOf = (name) => models.find((model) => (model.name || model.id).toLowerCase() === name.toLowerCase())
	|| models.find((model) => model.id.toLowerCase() === name.toLowerCase());
const active = () => talk.lanes.filter(({ model }, at) => at === 0 || model.trim());

/** Body for a lane, with the conversation up to the user's message of turn `last`. */
function request(lane, last = talk.turns.length - 1, turns = talk.turns) {
	const at = talk.lanes.indexOf(lane);
	const content = ({ text, files }) => (files?.length ? [...(text ? [{ type: 'text', text }] : []), ...files.map(part)] : text);
	const messages = talk.system.trim() ? [{ role: 'system', content: talk.system }] : [];
	turns.slice(0, last + 1).forEach((turn, n) => {
		messages.push({ role: 'user', content: content(turn) });
		const answer = turn.answers[at] ?? turn.answers[0];
		if (n < last && answer?.text) messages.push({ role: 'assistant', content: answer.text });
	});
	const { temperature, limit, json } = talk.options;
	return { model: lane.model, messages, stream: true, stream_options: { include_usage: true },
		...(temperature != null && { temperature }), ...(limit != null && { max_tokens: limit }),
		...(json && { response_format: { type: 'json_object' } }),
		...(Object.keys(lane.parameters).length > 0 && { poe: { parameters: lane.parameters } }) };
}

const part = ({ name, type, data }) => (!data ? { type: 'text', text: `[${name}]` } : type.startsWith('image/')
	? { type: 'image_url', image_url: { url: data } } : { type: 'file', file: { filename: name, file_data: data } });

// ---- conversations in this browser

const all = () => { try { return listOf(JSON.parse(memory('conversations') || '[]')); } catch { return []; } };

function keep() {
	const slim = { ...talk, time: Date.now(), turns: talk.turns.map((turn) => ({ ...turn,
		files: turn.files?.map((file) => (file.data.length > MAX_KEPT_FILE ? { ...file, data: '' } : file)) })) };
	let list = [...(talk.turns.length ? [slim] : []), ...all().filter(({ id }) => id !== talk.id)].slice(0, KEPT);
	// the oldest give way where the browser's storage is full
	while (list.length && !memory('conversations', JSON.stringify(list))) list = list.slice(0, -1);
	if (!list.length) memory('conversations', null);
	if (page) history();
}

const titleOf = ({ turns, time }) => `${(turns[0]?.text || turns[0]?.files?.[0]?.name || '–').replace(/\s+/g, ' ').slice(0, 40)} · ${new Date(time).toLocaleDateString(document.documentElement.lang)}`;

function history() {
	const list = all();
	const isNew = !list.some(({ id }) => id === talk.id);
	page.history.replaceChildren(list.length > 0 && field(t('Conversations'), select([...(isNew ? [['', t('New chat')]] : []), ...list.map((one) => [String(one.id), titleOf(one)])],
		isNew ? '' : String(talk.id), (id) => open(all().find((one) => String(one.id) === id)), { id: 'talks' })) || '',
	h('div.actions', button(t('New chat'), () => open(null), { id: 'new-chat' }),
		list.length > 0 && button(t('Delete'), () => { const { id } = talk; open(null); memory('conversations', JSON.stringify(all().filter((one) => one.id !== id))); history(); }, { id: 'drop-chat', disabled: isNew }),
		list.length > 0 && button(t('Clear all'), clear, { id: 'clear-chats', class: 'danger' })), h('p.hint', t('keptHere')));
}

async function clear() {
	if (await ask(t('Clear all'), h('p', t('clearChats', { n: all().length })), [[null, t('Cancel')], ['clear', t('Clear all'), 'danger']]) !== 'clear') return;
	memory('conversations', null);
	open(null);
}

function open(one) {
	if (running) return;
	talk = one ? { ...fresh(), ...one } : fresh(talk.lanes, talk.system, talk.options);
	options();
	conversation();
	history();
	if (!one) page.input.focus();
}

// ---- elements

function attached(files, drop) {
	return h('ul.files', files.map((file, index) => h('li',
		file.type.startsWith('image/') && file.data && h('img', { src: file.data, alt: '' }), h('span', file.name),
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

/** What is going on before the first text: the bot's row of progress, else that Poe has not answered yet. */
function statusOf({ live, text, thought, figures: { total } }) {
	if (!live || text) return '';
	return thought.trim().split('\n').at(-1).slice(0, 120) || t('waiting', { time: span(total ?? 0) });
}

function answerView(answer, isLast) {
	const said = h('div.said');
	const thought = document.createTextNode('');
	const thinking = h('details.thought', h('summary', t('Reasoning')), h('p', thought));
	const status = h('p.status');
	const note = h('small.hint.figures');
	const fault = h('p.notice.bad', { role: 'alert' });
	const view = { said, thought, thinking, status, note, fault };
	views.set(answer, view);
	view.element = h('article.turn.assistant', { label: `${t('Answer')}: ${answer.figures.model}` },
		h('header', h('b', answer.figures.model), h('span.gap'),
			!answer.live && answer.text && button(t('Copy'), () => copy(answer.text), { class: 'plain' }),
			!answer.live && isLast && button(t('again'), () => again(answer), { class: 'plain' })),
		status, thinking, said, fault, note);
	paint(answer, view);
	return view.element;
}

function paint(answer, view = views.get(answer)) {
	if (view.thought.data.length !== answer.thought.length) view.thought.data = answer.thought;
	view.thinking.hidden = !answer.thought;
	view.status.textContent = statusOf(answer);
	view.status.hidden = !view.status.textContent;
	render(view.said, answer.text, page.media);
	view.fault.textContent = answer.fault ?? '';
	view.fault.hidden = !answer.fault;
	view.note.textContent = figures(answer.figures);
}

function turnView(turn, at) {
	const isLast = at === talk.turns.length - 1;
	const edit = () => {
		const area = h('textarea', { rows: 3, value: turn.text, label: t('Your message') });
		const back = () => { said.replaceWith(element.querySelector('.edit')); conversation(); };
		const save = () => {
			if (running || (!area.value.trim() && !turn.files?.length)) return;
			turn.text = area.value.trim();
			talk.turns.length = at + 1;
			turn.answers = [];
			answerAll();
		};
		const said = h('div.edit', area, h('div.actions', button(t('Cancel'), back), button(t('saveAsk'), save, { class: 'primary' }), !isLast && h('small.hint', t('editDrops'))));
		element.querySelector('.said').replaceWith(said);
		area.focus();
	};
	const drop = () => { talk.turns.splice(at, 1); conversation(); keep(); page.input.focus(); };
	const idle = !running;
	const element = h('article.turn.user', { label: t('You') },
		h('header', h('b', t('You')), h('span.gap'),
			turn.text && button(t('Copy'), () => copy(turn.text), { class: 'plain' }),
			idle && button(t('Edit'), edit, { class: 'plain' }),
			idle && button(t('Delete'), drop, { class: 'plain' })),
		h('p.said', turn.text), turn.files?.length > 0 && attached(turn.files));
	const answers = turn.answers.filter(Boolean);
	return [element, answers.length > 0 && h('div', { class: `answers n${answers.length}` }, answers.map((answer) => answerView(answer, isLast && idle)))];
}

function conversation() {
	page.log.replaceChildren(...(talk.turns.length ? talk.turns.flatMap(turnView).filter(Boolean) : [h('p.wait', t('tryHint'))]));
	scrollTo(0, document.documentElement.scrollHeight);
}

/** Follows the answer as long as its end is in view. */
function follow(change) {
	const root = document.documentElement;
	const isNear = root.scrollHeight - innerHeight - scrollY < 200;
	change();
	if (isNear) scrollTo(0, root.scrollHeight);
}

// ---- asking

function ready() {
	for (const lane of active()) {
		const fault = lane.model.trim() ? faultOf(entryOf(lane.model)?.parameters, lane.parameters) : t('needsModel');
		if (fault) return void toast(fault, 'bad');
	}
	const wrong = page.options.querySelector('[aria-invalid=true]');
	if (wrong) wrong.focus();
	return !wrong && !running;
}

async function say() {
	if (!ready()) return;
	const text = page.input.value.trim();
	if (text || draft.files.length) talk.turns.push({ text, files: draft.files, answers: [] });
	else return page.input.focus();
	draft = { text: '', files: [] };
	page.input.value = '';
	pending();
	await answerAll();
}

const answerAll = () => answerLanes(active());
const again = (answer) => { if (ready()) answerLanes([talk.lanes[talk.turns.at(-1).answers.indexOf(answer)] ?? talk.lanes[0]]); };

/** Adds the chunks of a stream to an answer, and to the page if the tab is open. */
async function receive(response, answer, began) {
	let ended = false;
	let due = false;
	for await (const line of lines(response)) {
		if (line === '[DONE]') { ended = true; continue; }
		const chunk = JSON.parse(line);
		if (chunk.error) throw new Refusal(0, chunk.error);
		if (chunk.usage) answer.figures.usage = chunk.usage;
		const delta = chunk.choices?.[0]?.delta || {};
		const thought = delta.reasoning_content ?? delta.reasoning ?? '';
		const text = delta.content ?? '';
		if (!thought && !text) continue;
		answer.figures.first ??= performance.now() - began;
		answer.thought += thought;
		answer.text += text;
		if (!page || due) continue;
		due = true;
		requestAnimationFrame(() => { due = false; if (page && answer.live) follow(() => paint(answer)); });
	}
	if (!ended) throw new Error(t('brokeOff'));
}

async function answerLane(lane, signal) {
	const answer = { text: '', thought: '', live: true, figures: { model: lane.model } };
	const body = request(lane);
	talk.turns.at(-1).answers[talk.lanes.indexOf(lane)] = answer;
	const began = performance.now();
	const ticking = setInterval(() => {
		answer.figures.total = performance.now() - began;
		if (page && views.has(answer)) paint(answer);
	}, 250);
	try {
		const key = context.settings?.has_poe_key ? '' : poeKey.get();
		await receive(await send('/api/admin/try', { method: 'POST', body, key, signal }), answer, began);
	} catch (error) {
		answer.fault = error.name === 'AbortError' ? t('Stopped.') : error.message;
	} finally {
		clearInterval(ticking);
		answer.figures.total = performance.now() - began;
		delete answer.live;
	}
	return answer;
}

async function answerLanes(lanes) {
	running = new AbortController();
	const answers = lanes.map((lane) => answerLane(lane, running.signal));
	conversation();
	working();
	const done = await Promise.all(answers);
	running = null;
	keep();
	if (!page) return;
	follow(() => { const { scrollY: before } = window; conversation(); scrollTo(0, before); });
	working();
	page.live.textContent = done.map((answer) => answer.fault || t('answered')).join(' ');
	page.input.focus({ preventScroll: true });
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
		draft.files.push(...await Promise.all([...files].map(read)));
		pending();
	} catch (error) { complain(error); }
}

const pending = () => page.files.replaceChildren(attached(draft.files, (index) => { draft.files.splice(index, 1); pending(); }));

// ---- options

function laneView(at) {
	const lane = talk.lanes[at] ??= { model: '', parameters: {} };
	const about = h('p.hint');
	const form = h('div', { id: at ? null : 'parameters' });
	const draw = () => {
		const model = lane.model && entryOf(lane.model);
		about.textContent = textOf(model?.description);
		about.hidden = !about.textContent;
		form.replaceChildren(lane.model ? h('details', { open: innerWidth > 860 && at === 0 }, h('summary', t('Parameters')),
			parameterForm(model?.parameters, lane.parameters, (values) => { lane.parameters = values; })) : '');
	};
	const choose = (name) => {
		const before = entryOf(lane.model);
		lane.model = name;
		if (entryOf(name) !== before || !name) { lane.parameters = {}; draw(); }
	};
	draw();
	return [input(lane.model, choose, { id: at ? 'model2' : 'model', list: 'model-names', placeholder: at ? t('noModel') : null, on: { focus: ({ target }) => target.select() } }), about, form];
}

function amountField(name, label, attributes, fits, range) {
	const control = input(talk.options[name] ?? '', (text) => {
		const value = text.trim() === '' ? null : Number(text);
		const good = value === null || fits(value);
		invalid(control, !good && range);
		if (good) talk.options[name] = value;
	}, { inputmode: 'decimal', placeholder: t('not set'), ...attributes });
	return field(t(label), control);
}

function options() {
	const [[model, about, form], [second, about2, form2]] = [laneView(0), laneView(1)];
	page.options.replaceChildren(
		field(t('model'), model), about,
		!context.settings?.has_poe_key && field(t('Poe API key'), input(poeKey.get(), (key) => poeKey.set(key.trim()), { type: 'password' }), t('poeKeyHint')) || '',
		h('details.options', { open: innerWidth > 860 }, h('summary', t('Options')),
			form,
			field(t('compare'), second), about2, form2,
			field(t('system'), h('textarea', { rows: '2', value: talk.system, on: { input: ({ target }) => { talk.system = target.value; } } })),
			h('div.two',
				amountField('temperature', 'Temperature', { id: 'temperature' }, (value) => value >= 0 && value <= 2, '0 – 2'),
				amountField('limit', 'Maximum output', { id: 'limit' }, (value) => Number.isInteger(value) && value > 0, '≥ 1')),
			h('p', check(t('jsonAnswer'), !!talk.options.json, (on) => { talk.options.json = on; })),
			h('p', check(t('loadMedia'), memory('media') === 'on', (on) => { memory('media', on ? 'on' : null); conversation(); })),
			page.history,
			h('div.actions', button(t('asCode'), asCode, { id: 'as-code' }),
				button(t('elsewhere'), () => { location.hash = `#connect/${encodeURIComponent(talk.lanes[0].model)}`; }, { id: 'elsewhere' }))));
}

async function asCode() {
	const turns = talk.turns.length ? talk.turns : [{ text: 'Hello', answers: [] }];
	const codes = snippets(location.origin, request(talk.lanes[0], turns.length - 1, turns));
	const text = h('pre', { tabindex: '0', id: 'snippet' });
	const where = h('p.hint');
	const show = (id) => {
		const one = codes.find((other) => other.id === id);
		text.textContent = one.text;
		where.textContent = [one.where, t('keyHint')].filter(Boolean).join(' — ');
		for (const tab of tabs.children) tab.setAttribute('aria-pressed', tab.dataset.key === id);
	};
	const tabs = chips(t('asCode'), codes.map(({ id, label }) => [id, label]), show);
	show('curl');
	await ask(t('asCode'), [tabs, where, text, h('div.actions', button(t('Copy'), () => copy(text.textContent), { class: 'primary', id: 'copy-snippet' }))], []);
}

export async function mount(root, app, argument) {
	context = app;
	models = (await get('/api/admin/models')).models.filter((model) => model.enabled !== false);
	if (argument && argument !== talk.lanes[0].model) Object.assign(talk.lanes[0], { model: argument, parameters: {} });
	if (!talk.lanes[0].model) talk.lanes[0].model = models.find((model) => listOf(model.output_modalities).includes('text'))?.name || models[0]?.id || '';
	page = {
		log: h('div', { id: 'log', tabindex: '0', role: 'log', label: t('Conversation') }),
		options: h('div'), history: h('div.history'), files: h('div'), live: h('p.sr', { role: 'status' }),
		media: media(app.settings?.demo_url, () => memory('media') === 'on'),
		input: h('textarea', { id: 'say', rows: '2', value: draft.text, placeholder: t('sayHint'), label: t('Your message'), on: {
			input: ({ target }) => { draft.text = target.value; },
			keydown: (event) => { if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); say(); } },
			paste: (event) => { if (event.clipboardData.files.length) { event.preventDefault(); attach(event.clipboardData.files); } } } }),
		say: button(t('Send'), say, { class: 'primary', id: 'send' }),
		stop: button(t('Stop'), () => running?.abort(), { class: 'danger', id: 'stop', hidden: true }),
	};
	const picker = h('input', { type: 'file', class: 'sr', id: 'attach', multiple: true, tabindex: '-1', label: t('Attach'),
		on: { change: () => { attach(picker.files); picker.value = ''; } } });
	root.replaceChildren(h('div.frame.talk',
		h('section.card.chat', { label: t('Conversation') }, h('h2.sr', t('Conversation')), page.log, page.live,
			h('div.composer', page.files, page.input, h('div.actions', button(t('Attach'), () => picker.click()), picker, h('span.gap'), page.stop, page.say))),
		h('aside.card', { label: t('Options') }, page.options,
			h('datalist', { id: 'model-names' }, models.map((model) => h('option', { value: model.name || model.id }, model.owned_by || ''))))));
	options();
	history();
	pending();
	// also shows an answer that went on streaming while another tab was open
	conversation();
	working();
}

export function unmount() { page = null; }
