// Running and finished requests.
import { get, post } from './api.js';
import { ask, button, cell, clock, complain, download, facts, h, search, select, span, table, toggle } from './dom.js';
import { number, t } from './i18n.js';
import { logView, more, unmountLog } from './log.js';
import { details } from './records.js';

const PERIOD = 1500;
const KEPT = 500;
let seq = 0;
let requests = [];
let latest = null;
let timer = null;
let page = null;
const filters = { key: '', model: '', status: '' };
let context = null;
let words = '';

const good = (status) => status >= 200 && status < 400;

async function poll() {
	clearTimeout(timer);
	try {
		if (document.visibilityState === 'visible') {
			const news = await get(`/api/admin/activity?after=${seq}`);
			if (news.seq < seq) {
				// the server restarted
				seq = 0;
				requests = [];
				page?.done.replaceChildren();
				return void (timer = setTimeout(poll, 0));
			}
			const fresh = news.requests.filter((one) => one.seq > seq);
			seq = news.seq;
			latest = news;
			requests = [...fresh, ...requests].slice(0, KEPT);
			if (page) draw(fresh);
		}
		await more();
		context.found();
	} catch (error) { error.status ? complain(error) : context.lost(error); }
	clearTimeout(timer);
	if (page) timer = setTimeout(poll, PERIOD);
}

async function stop(id) {
	try {
		await post('/api/admin/activity/stop', { id });
		poll();
	} catch (error) { complain(error); }
}

const arrow = (one) => (one.bot && one.bot !== one.model ? [one.model, h('span.from', ` → ${one.bot}`)] : [one.model || '–']);
const tokens = (one) => (one.prompt_tokens || one.completion_tokens ? `${number(one.prompt_tokens)} → ${number(one.completion_tokens)}` : '–');

function line(one) {
	const isRunning = one.status === 0;
	const status = isRunning ? h('span.badge.live', t('running'))
		: h('span', { class: `badge ${good(one.status) ? 'good' : 'bad'}` }, String(one.status));
	return h('tr', { 'data-id': one.id },
		cell('time', clock(one.time)),
		cell('status', status),
		h('th', { scope: 'row', 'data-label': t('model') }, h('span', ...arrow(one), one.error && h('small.fault', one.error))),
		cell('endpoint', one.endpoint || '–', ' ', one.stream && h('span.badge', t('stream'))),
		cell('client', h('span', { title: one.agent || '' }, one.key && h('b', one.key, ' '), one.client || '–', one.agent && h('small.hint', ` ${one.agent.split(/[ /]/)[0]}`))),
		cell('#firstByte', span(one.first_byte_ms)),
		cell('#duration', span(one.duration_ms)),
		cell('#tokens', tokens(one)),
		h('td', isRunning && button(t('Stop'), () => stop(one.id), { class: 'danger small' }),
			' ', button(t('Details'), () => details(one), { class: 'small', label: `${t('Details')}: ${one.model || one.id}` })));
}

const keyOf = (one) => one.key ?? '';
const KINDS = { good: (one) => good(one.status) && !one.error, errors: (one) => (one.status >= 400 || one.error) && one.status !== 499, stopped: (one) => one.status === 499, running: (one) => one.status === 0 };
const wanted = (one) => (!filters.status || KINDS[filters.status](one)) && (!filters.model || one.model === filters.model) && (!filters.key || keyOf(one) === filters.key)
	&& (!words || [one.model, one.bot, one.endpoint, one.client, one.agent, one.id, one.key, one.error].join(' ').toLowerCase().includes(words));

/** Keeps the choices of the filters up to date with the requests that are there. */
function choices() {
	for (const [name, value] of [['model', (one) => one.model], ['key', keyOf]]) {
		const control = page.filters[name];
		const list = [...new Set([...latest.running, ...requests].map(value).filter(Boolean))].sort();
		if (filters[name] && !list.includes(filters[name])) list.push(filters[name]);
		if (list.join('\n') === control.dataset.list) continue;
		control.dataset.list = list.join('\n');
		control.replaceChildren(...[['', t(`all.${name}`)], ...list.map((one) => [one, one])].map(([key, label]) => h('option', { value: key, selected: key === filters[name] }, label)));
	}
}

function draw(news) {
	const { running, totals, counters } = latest;
	page.running.textContent = t('runningNow', { n: running.length });
	const active = document.activeElement;
	const row = active?.closest?.('#requests tr');
	const held = row && [row.dataset.id, active.textContent];
	choices();
	page.live.replaceChildren(...running.filter(wanted).map(line));
	const matching = requests.filter(wanted);
	if (news === null || !page.done.children.length) page.done.replaceChildren(...matching.map(line));
	else {
		page.done.prepend(...news.filter(wanted).map(line));
		while (page.done.children.length > KEPT) page.done.lastChild.remove();
	}
	if (held) {
		const buttons = [...page.body.querySelectorAll(`tr[data-id="${CSS.escape(held[0])}"] button`)];
		(buttons.find((one) => one.textContent === held[1]) ?? buttons[0])?.focus();
	}
	page.empty.hidden = page.live.children.length + matching.length > 0;
	page.totals.replaceChildren(...[...totals].sort((one, other) => other.requests - one.requests).map((total) => h('tr', h('th', { scope: 'row' }, total.model),
		...[total.requests, total.errors, total.prompt_tokens, total.completion_tokens].map((value) => h('td.num', number(value))))));
	page.counters.replaceChildren(...Object.entries(counters || {}).map(([name, values]) => h('div.tile', h('h3', t(`counter.${name}`)),
		facts(Object.entries(values).map(([key, value]) => [t(`counter.${key}`), number(value)])))));
	page.inspection.setAttribute('aria-checked', latest.inspection);
	page.warning.hidden = !latest.inspection;
}

async function inspect(on) {
	try {
		if (on && await ask(t('inspection'), h('p', t('inspectionHint')), [[null, t('Cancel')], ['on', t('Turn on'), 'danger']]) !== 'on') {
			page.inspection.setAttribute('aria-checked', 'false');
			return;
		}
		latest.inspection = (await post('/api/admin/inspection', { on })).on;
		if (!on) requests = requests.map((one) => ({ ...one, inspection: null }));
		draw(null);
	} catch (error) {
		page.inspection.setAttribute('aria-checked', !on);
		complain(error);
	}
}

export async function mount(root, app) {
	context = app;
	const filter = (name, list = []) => select([['', t(`all.${name}`)], ...list], filters[name], (value) => { filters[name] = value; draw(null); }, { id: `filter-${name}`, label: t(`all.${name}`) });
	page = { running: h('b', { id: 'running' }), live: h('tbody', { id: 'running-rows' }), done: h('tbody', { id: 'done-rows' }), totals: h('tbody'), counters: h('div.tiles'),
		empty: h('p.wait', { hidden: true }, t('nothing')), warning: h('p.notice', { hidden: true }, t('inspectionHint')) };
	page.filters = { status: filter('status', Object.keys(KINDS).map((kind) => [kind, t(`only.${kind}`)])), model: filter('model'), key: filter('key') };
	page.inspection = toggle(t('inspection'), false, inspect, { id: 'inspection' });
	page.body = table('requests', t('activity'), ['time', 'status', 'model', 'endpoint', 'client', '#firstByte', '#duration', '#tokens', 'actions'], page.live, page.done);
	root.replaceChildren(page.warning,
		h('section.card',
			h('div.bar', page.running, search('searchRequests', words, (value) => { words = value.toLowerCase(); draw(null); }),
				...Object.values(page.filters),
				h('span.gap'), button(t('Export'), () => download('requests.json', JSON.stringify(requests.filter(wanted), null, 2), 'application/json'), { id: 'export' }),
				h('span.check', t('inspection'), page.inspection)),
			page.body, page.empty),
		h('div.columns',
			h('section.card', h('h2', t('Totals')), table('totals', t('Totals'), ['model', '#requests', '#errors', '#tokensIn', '#tokensOut'], page.totals)),
			h('section.card', h('h2', t('Counters')), page.counters)),
		logView());
	if (latest) draw(null);
	await poll();
}

export function unmount() {
	clearTimeout(timer);
	unmountLog();
	page = null;
}
