// The frame of the page: tabs, language, theme, warnings.
import * as account from './account.js';
import * as activity from './activity.js';
import { get } from './api.js';
import * as chat from './chat.js';
import { button, complain, h, memory, select } from './dom.js';
import { LANGUAGES, setLanguage, t } from './i18n.js';
import * as connect from './connect.js';
import * as keys from './keys.js';
import * as models from './models.js';
import * as overview from './overview.js';
import * as settings from './settings.js';

const TABS = { overview, models, chat, keys, connect, activity, account, settings };
/** Earlier names of tabs, for bookmarks. */
const FORMER = { try: 'chat' };
const THEMES = ['auto', 'light', 'dark'];
const $ = (id) => document.getElementById(id);
const RETRY = 3000;
const root = $('main');
const html = document.documentElement;
let open = null;
let leaving = false;

const app = {
	settings: null,
	/** The server cannot be reached: shown once, with all that is stale greyed, until an answer comes. */
	lost(error) {
		const notice = $('offline');
		notice.textContent = t('unreachable', { error: error.message });
		if (!notice.hidden) return;
		notice.hidden = false;
		html.classList.add('stale');
		const again = () => get('/api/admin/config/state').then(app.found, () => setTimeout(again, RETRY));
		setTimeout(again, RETRY);
	},
	found() {
		if ($('offline').hidden) return;
		$('offline').hidden = true;
		html.classList.remove('stale');
	},
	update(now, state) {
		app.settings = now;
		app.ahead = now.now - Date.now() / 1000;
		$('version').textContent = now.version;
		const lines = (now.warnings || []).filter((name) => name !== 'config_broken').map((name) => t(`warning.${name}`));
		if (state.state === 'broken') lines.push(`${t('warning.config_broken')} ${state.error || ''}`);
		if (!state.writable) lines.push(t('readOnly', { path: state.path }));
		const hints = open === 'settings' ? [] : state.warnings;
		app.writable = state.writable;
		$('banners').replaceChildren(...lines.map((text) => h('p.notice.bad', { role: 'alert' }, text)), ...hints.map((text) => h('p.notice', text)));
	},
	async refresh() {
		try {
			app.update(...await Promise.all([get('/api/admin/settings'), get('/api/admin/config/state')]));
			app.found();
		} catch (error) { error.status ? complain(error) : app.lost(error); }
	},
};

function theme(name) {
	html.dataset.theme = name;
	memory('theme', name);
}

function frame() {
	$('skip').textContent = t('skip');
	const tabs = $('tabs');
	tabs.setAttribute('aria-label', t('Sections'));
	tabs.replaceChildren(...Object.keys(TABS).map((name) => h('a', { href: `#${name}`, 'aria-current': name === open ? 'page' : null }, t(name))));
	$('tools').replaceChildren(
		select(THEMES.map((name) => [name, t(`theme.${name}`)]), html.dataset.theme, theme, { id: 'theme', label: t('Theme') }),
		select(Object.entries(LANGUAGES), html.lang, (name) => { useLanguage(name); draw(); }, { id: 'language', label: t('Language') }),
		button(t('Sign out'), signOut, { id: 'sign-out' }));
}

/** The browser forgets the password when the server refuses it once; it does so for a moment after the time in the address. */
function signOut() {
	if (models.unsaved() && !confirm(t('unsaved', { n: models.unsaved() }))) return;
	leaving = true;
	sessionStorage.clear();
	location.assign(`/admin/sign-out?at=${Math.floor(Date.now() / 1000 + (app.ahead ?? 0))}`);
}

function useLanguage(name) {
	setLanguage(name);
	html.lang = name;
	memory('language', name);
}

function preferred() {
	const locale = navigator.languages.find((one) => /^(zh|en)\b/i.test(one)) ?? 'en';
	return /^en/i.test(locale) ? 'en' : /hant|tw|hk|mo/i.test(locale) ? 'zh-TW' : 'zh-CN';
}

let turn = 0;
async function draw() {
	const [first, ...rest] = location.hash.slice(1).split('/');
	const name = FORMER[first] ?? first;
	const to = Object.hasOwn(TABS, name) ? name : 'overview';
	const mine = ++turn;
	if (open) TABS[open].unmount?.();
	const moved = open !== to;
	open = to;
	frame();
	TABS[to].prefetch?.();
	await (app.settings ? moved && to !== 'settings' && app.refresh() : app.refresh());
	if (mine !== turn) return;
	try {
		// an element per draw: a tab that finishes loading late draws into an element that is no longer shown
		const place = h('div', { class: `tab ${to}` }, h('p.wait', t('loading')));
		root.replaceChildren(place);
		await TABS[to].mount(place, app, rest.length ? decodeURIComponent(rest.join('/')) : null);
		place.prepend(h('h1.sr', t(to)));
	} catch (error) {
		error.status ? complain(error) : app.lost(error);
		if (mine === turn) root.replaceChildren(h('p.notice.bad', error.message),
			h('div.actions', button(t('retry'), draw), to === 'models' && button('models.yaml', () => models.file(draw), { id: 'file' })));
	}
}

addEventListener('hashchange', draw);
addEventListener('beforeunload', (event) => {
	if (models.unsaved() && !leaving) event.preventDefault();
});
addEventListener('keydown', (event) => {
	if (document.querySelector('dialog[open]')) return;
	const typing = event.target.closest?.('input, textarea, select');
	if (event.key === '/' && !typing) {
		const search = $('search') || $('say');
		if (search) { event.preventDefault(); search.focus(); }
	} else if (event.key === 'Escape' && event.target.type === 'search' && event.target.value) {
		// the browser clears the field
	} else if (open) TABS[open].shortcut?.(event);
});

const [kept, spoken] = [memory('theme'), memory('language')];
theme(THEMES.includes(kept) ? kept : 'auto');
useLanguage(Object.hasOwn(LANGUAGES, spoken) ? spoken : preferred());
draw();
