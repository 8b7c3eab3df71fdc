// The last lines of the log, kept in memory by the server.
import { get } from './api.js';
import { button, h, input, select } from './dom.js';
import { t } from './i18n.js';

const KEPT = 1000;
const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];
const view = { level: 'info', words: '', paused: false };
let lines = [];
let seq = 0;
let page = null;

const wanted = ({ level, text }) => LEVELS.indexOf(level) <= LEVELS.indexOf(view.level) && text.toLowerCase().includes(view.words);
const element = ({ level, text }) => h('div', { class: `line ${level}` }, text);

function draw() {
	page.list.replaceChildren(...lines.filter(wanted).map(element));
	page.empty.hidden = page.list.children.length > 0;
	page.list.scrollTop = page.list.scrollHeight;
}

/** Fetches what is new; called as often as the list of requests is. */
export async function more() {
	if (!page || view.paused || !page.box.open) return;
	const news = await get(`/api/admin/log?after=${seq}`);
	if (!page) return;
	if (news.seq < seq) lines = [];
	seq = news.seq;
	lines = [...lines, ...news.lines].slice(-KEPT);
	const { list } = page;
	const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
	list.append(...news.lines.filter(wanted).map(element));
	while (list.children.length > KEPT) list.firstChild.remove();
	page.empty.hidden = list.children.length > 0;
	if (isAtEnd) list.scrollTop = list.scrollHeight;
}

export function logView() {
	const pause = button(t('Pause'), () => {
		view.paused = !view.paused;
		pause.setAttribute('aria-pressed', view.paused);
		more();
	}, { id: 'log-pause', 'aria-pressed': String(view.paused) });
	page = { list: h('div', { id: 'log-lines', tabindex: '0', role: 'log', 'aria-live': 'off', label: t('Log') }), empty: h('p.hint', t('nothing')) };
	page.box = h('details.card', { id: 'log-view', on: { toggle: () => { if (page) more().catch(() => {}); } } }, h('summary', h('h2', t('Log'))),
		h('div.bar', select(LEVELS.map((level) => [level, level]), view.level, (level) => { view.level = level; draw(); }, { id: 'log-level', label: t('Level') }),
			input(view.words, (words) => { view.words = words.toLowerCase(); draw(); }, { type: 'search', id: 'log-search', placeholder: t('searchLog'), label: t('searchLog') }),
			pause),
		page.list, page.empty);
	draw();
	return page.box;
}

export function unmountLog() { page = null; }
