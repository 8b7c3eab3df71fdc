// Overview: use of today and of the last days, charts, latest errors, what runs now.
import { get, post } from './api.js';
import { chart, chartTable } from './chart.js';
import { guide } from './connect.js';
import { button, cell, chips, clock, complain, h, short, span, table, tile } from './dom.js';
import { number, t } from './i18n.js';

const PERIOD = 4000;
const RANGES = ['24h', '7d', '30d'];
const MEASURES = ['requests', 'tokens', 'points'];
const view = { range: '24h', measure: 'requests', by: 'models' };
let page = null;
let timer = null;
let latest = null;

const tz = () => -new Date().getTimezoneOffset();
const language = () => document.documentElement.lang;
const points = (value) => number(Math.round(value ?? 0));
const label = (time, step) => (step === 'hour'
	? new Date(time * 1000).toLocaleTimeString(language(), { hour: '2-digit', minute: '2-digit', hour12: false })
	: new Date(time * 1000).toLocaleDateString(language(), { month: 'numeric', day: 'numeric' }));
const percent = (part, all) => (all ? part / all : null);

/** A chart with its table, or the words that there is nothing to be drawn. */
function drawn(what, wide) {
	if (!what.series.some(({ values }) => values.some((value) => value != null))) return [h('p.wait', t('noRequests'))];
	const all = { ...what, labels: latest.times.map((time) => label(time, latest.step)) };
	return [chart(all, wide), chartTable(what.title, 'time', all)];
}

function use(news) {
	const list = news[view.by].filter((one) => one[view.measure].some((value) => value > 0));
	const show = view.measure === 'points' ? points : number;
	const named = (one) => (['admin', 'own', 'none', 'other'].includes(one.id ?? (one.name === 'other' ? 'other' : '')) ? t(`who.${one.id ?? 'other'}`) : one.name);
	const series = list.map((one, at) => ({ name: named(one), values: one[view.measure], tone: `tone${at % 9}` }));
	const title = `${t(`measure.${view.measure}`)}: ${t(view.by === 'models' ? 'byModel' : 'byKey')}`;
	return drawn({ id: 'use', title, series, bars: true, show, axis: short }, page.wide);
}

function speed(news) {
	const series = [{ name: 'p50', values: news.first_token_p50_ms, tone: 'tone0' }, { name: 'p95', values: news.first_token_p95_ms, tone: 'tone1' }];
	const rate = [{ name: t('errorRate'), values: news.requests.map((all, at) => percent(news.errors[at], all)), tone: 'tone7' }];
	const shown = (value) => new Intl.NumberFormat(language(), { style: 'percent', maximumFractionDigits: 1 }).format(value);
	const block = (title, id, list, show) => h('section.card', h('h2', title), drawn({ id, title, series: list, show }, page.half));
	return [block(t('firstTokenTime'), 'speed', series, span), block(t('errorRate'), 'error-rate', rate, shown)];
}

const sum = (title, { requests, errors, input_tokens: input, output_tokens: output, points: spent, points_estimated: guess }) => tile(title, points(spent),
	[`${t('Points')}${guess > 0 ? ` (${t('estimated', { n: Math.round(guess) })})` : ''}`, `${t('measure.requests')}: ${number(requests)}${errors ? ` · ${t('errors')}: ${number(errors)}` : ''}`, `${short(input)} → ${short(output)} tokens`].join('\n'));

function balance(account) {
	if (!account) return null;
	const note = account.days_left == null ? t('noPace') : t('lasts', { n: Math.max(0, Math.floor(account.days_left)), pace: Math.round(account.points_per_day) });
	return tile(t('balance'), h('span', { id: 'points-left' }, points(account.points_left)), note);
}

/** What each of several replicas has done today. */
const replicas = (list) => h('section.card', h('h2', t('replicas')), table('replicas', t('replicas'), ['replica', '#requests', '#errors', '#tokens', '#Points'],
	h('tbody', list.map((one) => h('tr', h('th', { scope: 'row' }, one.name), cell('#requests', number(one.requests)), cell('#errors', number(one.errors)),
		cell('#tokens', number(one.tokens)), cell('#Points', points(one.points)))))));

async function stop(id) {
	try { await post('/api/admin/activity/stop', { id }); await poll(); } catch (error) { complain(error); }
}

function draw() {
	const news = latest;
	const held = page.body.contains(document.activeElement) ? document.activeElement.id : '';
	const openTables = [...page.body.querySelectorAll('details')].map((one) => one.open);
	page.body.replaceChildren(
		h('div.tiles', balance(news.account) ?? '', sum(t('today'), news.today), sum(t('days', { n: 7 }), news.days7), sum(t('days', { n: 30 }), news.days30)),
		h('section.card', h('h2', t('use')), page.controls, ...use(news)),
		h('div.columns.even', ...speed(news)),
		news.replicas?.length > 1 ? replicas(news.replicas) : '',
		h('div.columns.even',
			h('section.card', h('h2', t('runningNow', { n: news.running.length })), news.running.length ? table('now', t('running'), ['time', 'model', '#duration', 'actions'],
				h('tbody', news.running.map((one) => h('tr', cell('time', clock(one.time)), h('th', { scope: 'row', 'data-label': t('model') }, one.model || one.endpoint),
					cell('#duration', span(one.duration_ms)), h('td', button(t('Stop'), () => stop(one.id), { class: 'danger small', label: `${t('Stop')}: ${one.model || one.id}` }))))))
				: h('p.wait', t('nothingRuns'))),
			h('section.card', h('h2', t('latestErrors')), news.latest_errors.length ? h('ul.errors', news.latest_errors.map((one) => h('li',
				h('p.fault', one.error), h('p.hint', [new Date(one.time_ms).toLocaleString(language(), { hour12: false }), one.status, one.model, one.key, one.endpoint].filter(Boolean).join(' · ')))))
				: h('p.wait', t('noErrors')))));
	[...page.body.querySelectorAll('details')].forEach((one, at) => { one.open = !!openTables[at]; });
	if (held) page.body.querySelector(`#${held}`)?.focus();
}

async function poll() {
	clearTimeout(timer);
	const mine = page;
	if (document.visibilityState === 'visible') {
		const news = await get(`/api/admin/overview?range=${view.range}&tz=${tz()}`).catch((error) => {
			if (!error.status) mine.context.lost(error);
			else if (page === mine) page.body.replaceChildren(h('p.notice.bad', error.message));
			return null;
		});
		if (page !== mine) return;
		// a chart in use is not drawn anew under the pointer or the keys
		const busy = page.body.querySelector('.chart:focus, .chart:hover');
		if (news) { page.context.found(); latest = news; if (!busy || page.due) draw(); page.due = false; }
	}
	if (page === mine) timer = setTimeout(poll, PERIOD);
}

export async function mount(root, app) {
	const group = (key, names, text) => {
		const pick = (name) => { view[key] = name; mark(); if (key === 'range') { page.due = true; poll(); } else draw(); };
		const bar = chips(t(`pick.${key}`), names.map((name) => [name, text(name)]), pick);
		const mark = () => { for (const one of bar.children) one.setAttribute('aria-pressed', one.dataset.key === view[key]); };
		mark();
		return bar;
	};
	page = { context: app, body: h('div', { id: 'overview' }), wide: Math.max(280, root.clientWidth - 34), half: Math.max(280, (root.clientWidth > 900 ? (root.clientWidth - 16) / 2 : root.clientWidth) - 34),
		controls: h('div.bar', group('range', RANGES, (name) => t(`range.${name}`)), group('measure', MEASURES, (name) => t(`measure.${name}`)), group('by', ['models', 'keys'], (name) => t(`by.${name}`))) };
	root.replaceChildren(...[app.settings?.has_poe_key === false && guide(), page.body].filter(Boolean));
	if (latest && latest.range === view.range) draw();
	else page.body.append(h('p.wait', t('loading')));
	page.due = true;
	await poll();
}

export function unmount() {
	clearTimeout(timer);
	page = null;
}
