// The list of models: search, filter, rename, switch, save.
import { get, post } from './api.js';
import { ask, button, check, chips, complain, download, field, h, hush, input, invalid, memory, month, search, select, short, span, toast, toggle } from './dom.js';
import { DEFAULTS, Draft, FIELDS, isEmpty } from './draft.js';
import { number, t } from './i18n.js';
import { faultOf, read as parsed } from './form.js';
import { customForm, panel } from './panel.js';
import { FILTERS, ORDERS, grouped, listOf, pick, pointsText, priceText, rowsOf } from './rows.js';

const draft = new Draft();
const view = { words: '', filters: [], order: 'name', group: true };
const kept = (name) => { try { return new Set(listOf(JSON.parse(memory(name) ?? '[]'))); } catch { return new Set(); } };
const favourites = kept('favourites');
const folded = kept('folded');
let anchor = null;
const selected = new Set();
let loaded = null;
let rows = [];
/** Rows that fit search and filters, and those of them whose group is open. */
let matching = [];
let shown = [];
let opened = null;
let current = null;
let saving = false;
let page = null;
let context = null;
const cells = new Map();

export const unsaved = () => draft.changes().length;

async function load(merge) {
	const [config, models] = await Promise.all([get('/api/admin/config'), get('/api/admin/models')]);
	loaded = models;
	if (merge) draft.rebase(config);
	else draft.load(config);
}

/** Starts to load what the tab needs while the page loads what all tabs need. */
let early = null;
export const prefetch = () => {
	early = !loaded || !unsaved() ? load() : null;
	early?.catch(() => {});
};

const MARKS = ['custom', 'tools', 'web', 'sees', 'paints', 'video', 'sound', 'preset', 'replace'];
const badge = (kind) => h('span', { class: `badge ${kind}` }, t(`is.${kind}`));

function cell(row) {
	const marks = MARKS.filter((name) => FILTERS[name](row));
	const look = JSON.stringify([{ ...row, model: null }, selected.has(row.bot), opened === row.bot, document.documentElement.lang]);
	const known = cells.get(row.bot);
	if (known?.look === look) return known.element;
	const at = (kind, ...content) => h(`span${kind}`, { role: 'gridcell' }, ...content);
	const element = h('div', { role: 'row', class: ['row', row.changed && 'changed', !row.enabled && 'off', row.removed && 'removed', opened === row.bot && 'opened'].filter(Boolean).join(' '), 'data-bot': row.bot },
		at('', h('input', { type: 'checkbox', tabindex: '-1', checked: selected.has(row.bot), label: t('selectOne', { name: row.name }), 'data-act': 'select' })),
		at('.name', h('button.open', { tabindex: '-1', 'data-act': 'open' },
			h('b', row.name), row.mapped && h('span.from', ` ← ${row.bot}`),
			row.aliases.length > 0 && h('span.from', ` + ${row.aliases.join(', ')}`),
			row.changed && h('span.dot', { role: 'img', label: t('is.changed') })),
		h('button.star.plain', { tabindex: '-1', 'data-act': 'favourite', 'aria-pressed': String(row.favourite), label: t('favouriteOne', { name: row.name }) }, row.favourite ? '★' : '☆')),
		at('.badges', row.removed ? h('span.badge.bad', t('removed')) : marks.map(badge)),
		at('.num', short(row.context)),
		h('span.num.price', { role: 'gridcell', title: pointsText(row.price, t) }, priceText(row.price, t)),
		at('.num', row.created ? month(row.created) : '–'),
		at('', toggle(`${t('enabled')}: ${row.name}`, row.enabled, () => {}, { tabindex: '-1', 'data-act': 'enable', disabled: row.removed })));
	cells.set(row.bot, { look, element });
	return element;
}

function group(owner, members) {
	const open = !folded.has(owner) || view.words !== '' || view.filters.length > 0;
	const title = h('div.group', { role: 'row' }, h('span.owner', { role: 'gridcell' },
		h('button.plain', { 'data-owner': owner, 'aria-expanded': String(open) }, h('b', owner || t('favourites')), ` ${number(members.length)}`)));
	return [h('div', { role: 'rowgroup' }, title, open && members.map(cell)), open ? members : []];
}

/** A list by price or date goes across all providers. */
const isGrouped = () => view.group && ['name', 'owner'].includes(view.order);

function list() {
	const held = document.activeElement?.closest?.('#list .row');
	const [bot, act, owner] = [held?.dataset.bot, document.activeElement?.dataset?.act, document.activeElement?.dataset?.owner];
	rows = rowsOf(loaded.models, draft, favourites);
	matching = pick(rows, view);
	const groups = isGrouped() ? grouped(matching, view.order === 'name').map(([name, members]) => group(name, members))
		: [[h('div', { role: 'rowgroup' }, matching.map(cell)), matching]];
	shown = groups.flatMap(([, members]) => members);
	page.list.replaceChildren(headings(), ...groups.map(([element]) => element));
	page.count.textContent = t('shownOf', { n: matching.length, all: rows.length });
	page.empty.hidden = matching.length > 0;
	if (!shown.some((row) => row.bot === current)) current = shown[0]?.bot ?? null;
	rove(current);
	if (bot) at(bot)?.querySelector(`[data-act="${act}"]`)?.focus({ preventScroll: true });
	if (owner !== undefined) page.list.querySelector(`[data-owner="${CSS.escape(owner)}"]`)?.focus({ preventScroll: true });
	bars();
}

const headings = () => h('div.headings', { role: 'rowgroup' }, h('div.row', { role: 'row' },
	['', 'name', 'abilities', 'context', 'price', 'added', 'enabled'].map((key, column) =>
		h('span', { role: 'columnheader', class: column > 2 && column < 6 ? 'num' : null }, key ? t(key) : h('span.sr', t('selected'))))));

const at = (bot) => cells.get(bot)?.element;

/** Only one row is in the tab order; the arrow keys move between rows. */
function rove(bot) {
	for (const element of page.list.querySelectorAll('[tabindex="0"]')) element.tabIndex = -1;
	current = bot;
	for (const element of at(bot)?.querySelectorAll('[data-act]') || []) element.tabIndex = 0;
}

function keys(event) {
	const row = event.target.closest('.row');
	if (!row?.dataset.bot) return;
	const here = shown.findIndex((one) => one.bot === row.dataset.bot);
	const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: shown.length - 1 }[event.key];
	if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
	event.preventDefault();
	const next = shown[Math.max(0, Math.min(shown.length - 1, to))];
	if (event.shiftKey) {
		anchor ??= row.dataset.bot;
		mark(next.bot, true, true);
	}
	rove(next.bot);
	at(next.bot).querySelector(`[data-act="${event.target.dataset.act || 'open'}"]`).focus();
}

/** Selects or clears a row; with Shift all from the row that was last clicked. */
function mark(bot, on, range) {
	const [from, to] = [anchor, bot].map((one) => shown.findIndex((row) => row.bot === one)).sort((one, other) => one - other);
	for (const row of range && from >= 0 ? shown.slice(from, to + 1) : [{ bot }]) on ? selected.add(row.bot) : selected.delete(row.bot);
	anchor = bot;
	list();
}

function flip(set, name, key) {
	if (!set.delete(key)) set.add(key);
	memory(name, JSON.stringify([...set]));
	list();
}

function clicks(event) {
	const { owner } = event.target.closest('[data-owner]')?.dataset ?? {};
	if (owner !== undefined) return flip(folded, 'folded', owner);
	const act = event.target.closest('[data-act]')?.dataset.act;
	const bot = event.target.closest('.row')?.dataset.bot;
	if (!bot) return;
	rove(bot);
	if (act === 'select') mark(bot, event.target.checked, event.shiftKey);
	else if (act === 'favourite') flip(favourites, 'favourites', bot);
	else if (act === 'enable') {
		draft.set(bot, 'enable', event.target.closest('[role=switch]').getAttribute('aria-checked') === 'true');
		list();
		if (opened === bot) side();
	} else {
		open(bot);
	}
}

function open(bot) {
	const last = opened;
	opened = bot;
	side();
	list();
	if (bot) page.side.querySelector('#panel-title').focus();
	else if (last) at(last)?.querySelector('.open').focus();
}

function side() {
	const row = opened && rows.find((one) => one.bot === opened);
	page.side.replaceChildren(...(row ? [panel(row, draft, (name, value) => change(opened, name, value), {
		close: () => open(null),
		attempt: () => { location.hash = `#chat/${encodeURIComponent(row.model.name || row.name)}`; },
		undo: () => { draft.undo(opened); list(); side(); page.side.querySelector('#panel-title')?.focus(); },
		drop: () => { draft.removeCustom(opened); list(); if (rows.some((one) => one.bot === opened)) side(); else open(null); },
	})] : []));
	page.frame.classList.toggle('with-side', !!row);
}

function change(bot, name, value) {
	draft.set(bot, name, value);
	list();
	head(rows.find((one) => one.bot === bot));
}

/** Updates the parts of the open panel that depend on its form. */
function head(row) {
	const find = (id) => page.side.querySelector(id);
	if (row && find('#panel-title')) find('#panel-title').textContent = row.name;
	if (find('#undo-one')) find('#undo-one').disabled = !row?.changed;
}

function bars() {
	const count = unsaved();
	page.save.hidden = count === 0;
	page.save.lastChild.disabled = saving || context.writable === false;
	page.unsaved.textContent = t('unsaved', { n: count });
	document.title = count ? `• poe2openai` : 'poe2openai';
	const chosen = selected.size;
	const which = { n: chosen || matching.length };
	page.on.textContent = t(chosen ? 'enableSelected' : 'enableShown', which);
	page.off.textContent = t(chosen ? 'disableSelected' : 'disableShown', which);
	page.clear.hidden = chosen === 0;
	page.edit.textContent = t(chosen ? 'editSelected' : 'editShown', which);
	page.edit.disabled = which.n === 0;
	page.unfilter.hidden = !view.words && view.filters.length === 0;
	page.mode.value = draft.chosenOnly ? 'off' : 'on';
	page.applied.replaceChildren(toggle(t('applied'), draft.applied, (on) => { draft.switched = on; notes(); bars(); }));
	for (const chip of page.chips.children) {
		const { key } = chip.dataset;
		chip.setAttribute('aria-pressed', view.filters.includes(key));
		chip.lastChild.textContent = number(rows.filter(FILTERS[key]).length);
	}
}

function notes() {
	const { source, age_seconds: age } = loaded;
	const lines = [];
	if (!draft.applied && !isEmpty(draft.now)) lines.push(t('notApplied'));
	if (source === 'none') lines.push(t('sourceNone'));
	if (source === 'cache') lines.push(t('sourceCache', { age: span((age || 0) * 1000) }));
	page.notes.replaceChildren(...lines.map((text) => h('p.notice', text)));
}

const targets = () => (selected.size ? [...selected] : matching.map((row) => row.bot));

function bulk(on) {
	for (const bot of targets()) draft.set(bot, 'enable', on);
	list();
	if (opened) side();
}

/** Dialog that changes a field of many models; only what is chosen in it changes. */
async function bulkEdit() {
	const bots = targets();
	const values = {};
	const pick = (name, label, options) => field(label, select([['', t('unchanged')], ...options.map(([, text], at) => [String(at), text])], '', (at) => {
		if (at === '') delete values[name];
		else [values[name]] = options[at];
	}, { id: `bulk-${name}` }));
	const yes = [[true, t('on')], [false, t('off')]];
	const [name, value] = ['name', 'value'].map((key) => input('', () => {}, { label: `${t('presets')}: ${t(key)}`, placeholder: t(key) }));
	const description = input('', () => {}, { id: 'bulk-description', placeholder: t('unchanged') });
	const reset = h('input', { type: 'checkbox', id: 'bulk-reset' });
	const chosen = await ask(t(selected.size ? 'editSelected' : 'editShown', { n: bots.length }), h('div.form',
		pick('enable', t('enabled'), yes),
		pick('tools', t('toolsWay'), [['auto', t('automatic')], ['native', t('toolsNative')], ['prompt', t('in the prompt')]]),
		pick('route', t('Poe endpoint'), [[null, t('byServer')], ['bot', t('bot protocol')], ['auto', t('automatic')], ['native', t('toolsNative')]]),
		pick('reasoning', t('suffixes'), [[null, t('on')], [false, t('off')]]), pick('replace_response', t('replace'), yes),
		field(t('Description'), description),
		h('div.field', h('b', t('presets')), h('div.pair', name, value), h('small.hint', t('bulkParameter'))),
		h('label.check', reset, t('bulkReset'))), [[null, t('Cancel')], ['apply', t('Apply'), 'primary']]);
	if (chosen !== 'apply') return;
	for (const bot of bots) {
		if (reset.checked) for (const one of FIELDS) if (one !== 'enable') draft.set(bot, one, DEFAULTS[one]);
		for (const [one, to] of Object.entries(values)) draft.set(bot, one, to);
		if (description.value.trim()) draft.set(bot, 'description', description.value.trim());
		if (name.value.trim()) {
			const { [name.value.trim()]: _, ...others } = draft.get(bot, 'parameters');
			draft.set(bot, 'parameters', value.value.trim() === '' ? others : { ...others, [name.value.trim()]: parsed(value.value) });
		}
	}
	list();
	if (opened) side();
}

function redraw(typing) {
	notes();
	list();
	const row = rows.find((one) => one.bot === opened);
	// redrawing the panel would take the focus from the field that is being edited
	if (typing && row && page.side.contains(document.activeElement)) head(row);
	else side();
}

function afterSave({ warnings = [] }) {
	hush();
	toast(t('saved'), warnings.length ? 'warn' : 'good', warnings);
	context.refresh();
}

/** The bot of a field such as `models.gpt-4.1.mapping`; the longest match wins (`gpt-4.1` over `gpt-4`). */
function botOf(field) {
	const within = ({ bot }) => `${field}.`.toLowerCase().startsWith(`models.${bot}.`.toLowerCase());
	return rows.filter(within).sort((one, other) => other.bot.length - one.bot.length)[0]?.bot;
}

function filter(name) {
	view.filters = view.filters.includes(name) ? view.filters.filter((one) => one !== name) : [...view.filters, name];
	list();
}

function wrong() {
	for (const { bot, model } of rows.filter((row) => row.changed)) {
		const fault = faultOf(model.parameters, draft.get(bot, 'parameters'), draft.was(bot, 'parameters'));
		if (fault) return { bot, fault };
	}
}

async function save() {
	if (saving) return;
	const { bot: at, fault } = wrong() || {};
	if (fault) {
		if (opened !== at) open(at);
		const field = page.side.querySelector('[aria-invalid=true]');
		if (!field) return toast(fault, 'bad');
		invalid(field, fault);
		return field.focus();
	}
	saving = true;
	bars();
	const sent = draft.copy();
	try {
		const saved = await post('/api/admin/config', { ...sent, version: draft.version }, { 'If-Match': `"${draft.version}"` });
		draft.kept(sent, saved.version);
		afterSave(saved);
		await load(true).catch(complain);
		redraw(true);
	} catch (error) {
		if (error.status === 409) return await conflict();
		const bot = botOf(error.param);
		if (bot) open(bot);
		if (!bot || !showFault(error)) complain(error);
	} finally {
		saving = false;
		bars();
	}
}

/** Shows an error of the server beside the field of the open panel that it names; false if there is none. */
function showFault(error) {
	const name = error.param.split('.').at(-1).replace(/\[\d+\]$/, '');
	const control = page.side.querySelector(`[data-field="${CSS.escape(name)}"]`);
	if (!control) return false;
	invalid(control, error.message);
	control.addEventListener('input', () => invalid(control), { once: true });
	control.focus();
	return true;
}

async function conflict() {
	const choice = await ask(t('conflict'), h('p', t('conflictText', { n: unsaved() })),
		[['theirs', t('dropMine')], ['merge', t('reapply'), 'primary']]);
	if (!choice) return;
	try {
		await load(choice === 'merge');
		redraw();
		toast(t(choice === 'merge' ? 'reapplied' : 'reloaded'));
	} catch (error) { complain(error); }
}

async function add() {
	const { form, read } = customForm();
	if (await ask(t('Add model'), form, [[null, t('Cancel')], ['add', t('Add'), 'primary']]) !== 'add') return;
	const model = read();
	if (!model) return toast(t('needsName'), 'bad');
	if (rows.some((row) => row.bot.toLowerCase() === model.id.toLowerCase() && !row.removed)) return toast(t('exists', { name: model.id }), 'bad');
	draft.addCustom(model);
	rows = rowsOf(loaded.models, draft);
	open(model.id);
}

/** Dialog for models.yaml as text: view, download, upload, save. `again` runs after a save while the list is not loaded. */
export async function file(again) {
	const read = () => get('/api/admin/config/file');
	let text;
	try { text = await read(); } catch (error) { return complain(error); }
	let late = false;
	const area = h('textarea', { id: 'yaml', value: text.yaml, rows: 22, label: 'models.yaml' });
	const fault = h('p.notice.bad', { role: 'alert', hidden: true });
	const upload = h('input', { type: 'file', id: 'yaml-file', hidden: true, accept: '.yaml,.yml,text/yaml',
		on: { change: async () => { if (upload.files[0]) area.value = await upload.files[0].text(); } } });
	for (;;) {
		const choice = await ask('models.yaml', [h('p.hint', t('fileHint')), unsaved() > 0 && h('p.notice', t('fileUnsaved')),
			context?.writable === false && h('p.notice.bad', t('readOnlyShort')), h('div.actions', button(t('Download'), () => download('models.yaml', area.value)), button(t('Upload'), () => upload.click()), upload), area, fault],
		[[null, t('Cancel')], text.backup && context?.writable !== false && ['restore', t('restore')], late && ['theirs', t('dropMine')], context?.writable !== false && ['save', t(late ? 'replaceAnyway' : 'replaceFile'), 'primary']].filter(Boolean));
		if (!choice) return;
		try {
			fault.hidden = true;
			if (choice === 'save') {
				afterSave(await post('/api/admin/config/file', { yaml: area.value, version: text.version }));
				break;
			}
			if (choice === 'restore') {
				afterSave(await post('/api/admin/config/restore', { version: text.version }));
				break;
			}
			area.value = text.yaml;
			late = false;
		} catch (error) {
			fault.textContent = error.message;
			fault.hidden = false;
			late = error.status === 409;
			// keep the edited text; the next save applies to the current version of the file
			if (late) text = await read().catch(() => text);
		}
	}
	if (again) {
		loaded = null;
		return again();
	}
	await load().then(() => redraw(), complain);
}

export async function mount(root, app) {
	context = app;
	cells.clear();
	await (early ?? (!loaded || !unsaved() ? load() : null));
	early = null;
	const words = search('searchModels', view.words, (value) => { view.words = value; list(); });
	const find = (text, filters) => { view.words = words.value = text; view.filters = filters; list(); };
	page = { list: h('div', { role: 'grid', id: 'list', label: t('models'), on: { click: clicks, keydown: keys } }),
		side: h('div', { id: 'side' }), count: h('span', { id: 'count', role: 'status' }), chips: chips(t('Filters'), Object.keys(FILTERS).map((name) => [name, t(`is.${name}`), ' ', h('small')]), filter),
		notes: h('div'), applied: h('span'), unsaved: h('b', { id: 'unsaved' }), empty: h('p.wait', t('nothing')),
		edit: button('', bulkEdit, { id: 'bulk-edit' }), on: button('', () => bulk(true), { id: 'bulk-on' }), off: button('', () => bulk(false), { id: 'bulk-off' }),
		clear: button(t('Clear selection'), () => { selected.clear(); list(); }) };
	page.mode = select([['on', t('allBut')], ['off', t('chosenOnly')]], 'on', (mode) => { draft.chosenOnly = mode === 'off'; redraw(); }, { id: 'mode', label: t('mode') });
	page.unfilter = button(t('Clear filters'), () => { find('', []); words.focus(); }, { id: 'clear-filters' });
	page.save = h('section.savebar', { label: t('changes'), hidden: true }, page.unsaved,
		button(t('Show'), () => { find('', ['changed']); }),
		button(t('Undo all'), () => { draft.undoAll(); redraw(); }, { id: 'undo-all' }), button(t('Save'), save, { class: 'primary', id: 'save' }));
	page.scroll = h('div.scroll', page.list, page.empty);
	page.frame = h('div.frame',
		h('section.card.list', { label: t('models') },
			h('div.bar', words,
				select(Object.keys(ORDERS).map((name) => [name, t(name === 'owner' ? name : `order.${name}`)]), view.order, (name) => { view.order = name; list(); }, { label: t('sort'), id: 'order' }),
				check(t('byOwner'), view.group, (on) => { view.group = on; list(); }),
				h('span.gap'), button(t('Add model'), add, { id: 'add-custom' }), button('models.yaml', () => file(), { id: 'file' })),
			page.chips,
			h('div.bar.slim', page.count, page.on, page.off, page.edit, page.clear, page.unfilter, h('span.gap'), page.mode, h('span.check', t('applied'), page.applied)),
			page.scroll),
		page.side);
	root.replaceChildren(page.notes, page.frame, page.save);
	redraw();
}

export function shortcut(event) {
	if (event.key === 'Escape' && opened) open(null);
	else if (event.key === 's' && (event.ctrlKey || event.metaKey)) {
		event.preventDefault();
		if (unsaved()) save();
	}
}

