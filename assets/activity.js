// Running and finished requests.
import { get, post } from './api.js';
import { ask, button, cell, check, clock, complain, facts, h, search, span, table, toggle } from './dom.js';
import { number, t } from './i18n.js';

const PERIOD = 1500;
const KEPT = 500;
let seq = 0;
let requests = [];
let latest = null;
let timer = null;
let page = null;
let faultsOnly = false;
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
		page?.fault.replaceChildren();
	} catch (error) {
		page?.fault.replaceChildren(h('p.notice.bad', t('unreachable', { error: error.message })));
	}
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
		cell('client', h('span', { title: one.agent || '' }, one.client || '–', one.agent && h('small.hint', ` ${one.agent.split(/[ /]/)[0]}`))),
		cell('#firstByte', span(one.first_byte_ms)),
		cell('#duration', span(one.duration_ms)),
		cell('#tokens', tokens(one)),
		h('td', isRunning && button(t('Stop'), () => stop(one.id), { class: 'danger small' }),
			(one.error || one.inspection) && button(t('Details'), () => details(one), { class: 'small' })));
}

function details(one) {
	const { inspection } = one;
	const block = (title, text) => [h('h3', title), h('pre', { tabindex: '0' }, text)];
	ask(one.id, [
		facts([[t('client'), `${one.client} ${one.agent || ''}`], [t('endpoint'), `${one.method || ''} ${one.endpoint}`],
			[t('model'), one.model], [t('bot'), one.bot], [t('Route'), one.route]]),
		one.error && block(t('errors'), one.error),
		inspection && [block(t('Request'), inspection.request || ''), block(t('Answer'), inspection.answer || '')]], []);
}

const wanted = (one) => (!faultsOnly || one.status >= 400 || one.error)
	&& (!words || [one.model, one.bot, one.endpoint, one.client, one.agent, one.id].join(' ').toLowerCase().includes(words));

function draw(news) {
	const { running, totals, counters } = latest;
	page.running.textContent = t('runningNow', { n: running.length });
	const held = document.activeElement?.closest?.('#requests tr')?.dataset.id;
	page.live.replaceChildren(...running.map(line));
	const matching = requests.filter(wanted);
	if (news === null || !page.done.children.length) page.done.replaceChildren(...matching.map(line));
	else {
		page.done.prepend(...news.filter(wanted).map(line));
		while (page.done.children.length > KEPT) page.done.lastChild.remove();
	}
	if (held) page.body.querySelector(`tr[data-id="${CSS.escape(held)}"] button`)?.focus();
	page.empty.hidden = running.length + matching.length > 0;
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

export async function mount(root) {
	page = { running: h('b', { id: 'running' }), live: h('tbody', { id: 'running-rows' }), done: h('tbody', { id: 'done-rows' }), totals: h('tbody'), counters: h('div.tiles'),
		fault: h('div', { role: 'status' }), empty: h('p.wait', { hidden: true }, t('nothing')), warning: h('p.notice', { hidden: true }, t('inspectionHint')) };
	page.inspection = toggle(t('inspection'), false, inspect, { id: 'inspection' });
	page.body = table('requests', t('activity'), ['time', 'status', 'model', 'endpoint', 'client', '#firstByte', '#duration', '#tokens', 'actions'], page.live, page.done);
	root.replaceChildren(page.fault, page.warning,
		h('section.card',
			h('div.bar', page.running, search('searchRequests', words, (value) => { words = value.toLowerCase(); draw(null); }),
				check(t('Errors only'), faultsOnly, (on) => { faultsOnly = on; draw(null); }),
				h('span.gap'), h('span.check', t('inspection'), page.inspection)),
			page.body, page.empty),
		h('div.columns',
			h('section.card', h('h2', t('Totals')), table('totals', t('Totals'), ['model', '#requests', '#errors', '#tokensIn', '#tokensOut'], page.totals)),
			h('section.card', h('h2', t('Counters')), page.counters)));
	if (latest) draw(null);
	await poll();
}

export function unmount() {
	clearTimeout(timer);
	page = null;
}
