// Client keys: create, limit, disable, delete, with the use of each.
import { get, send } from './api.js';
import { useKey } from './connect.js';
import { ask, button, cell, complain, copy, facts, field, h, input, invalid, table, toast, toggle } from './dom.js';
import { number, t } from './i18n.js';

let page = null;

const day = (seconds) => new Date(seconds * 1000).toLocaleDateString(document.documentElement.lang);
const moment = (seconds) => new Date(seconds * 1000).toLocaleString(document.documentElement.lang, { dateStyle: 'short', timeStyle: 'short', hour12: false });
const points = (value) => number(Math.round(value ?? 0));
const dollars = (value) => `$${(value ?? 0).toFixed(2)}`;
const inUnit = (limit) => (limit.endsWith('_cost') ? dollars : points);
const tz = () => -new Date().getTimezoneOffset();
const call = async (method, path, body) => (await send(`/api/admin/keys${path}`, { method, body })).json();

/** Fields of a key's limits: name, whether it is a whole number. */
const LIMITS = [['requests_per_minute', true], ['daily_points', false], ['monthly_points', false], ['daily_cost', false], ['monthly_cost', false]];

/** Fields of a key, with `read`, which returns what they hold, and `fail`, which shows an error beside the field that it names. */
function form(key = {}) {
	const text = (name, value, attributes = {}) => input(value ?? '', () => {}, { id: `key-${name}`, ...attributes });
	const name = text('name', key.name, { maxlength: 64, required: true });
	const models = h('textarea', { id: 'key-models', rows: 2, value: (key.models ?? []).join('\n'), placeholder: t('allModels') });
	const limits = Object.fromEntries(LIMITS.map(([limit]) => [limit, text(limit, key[limit], { inputmode: 'decimal', placeholder: t('unlimited') })]));
	const expires = text('expires', key.expires ? new Date(key.expires * 1000).toISOString().slice(0, 10) : '', { type: 'date' });
	const note = text('note', key.note);
	const fault = h('p.notice.bad', { role: 'alert', hidden: true });
	const wrong = (control, message) => {
		if (control) {
			invalid(control, message);
			return control.focus();
		}
		fault.textContent = message;
		fault.hidden = false;
	};
	const controls = { name, models, expires, note, ...limits };
	const element = h('div.form', { on: { input: ({ target }) => invalid(target) } }, fault,
	field(t('name'), name), field(t('allowedModels'), models, t('allowedHint')),
	h('div.two', LIMITS.map(([limit]) => field(t(`limit.${limit}`), limits[limit])), field(t('expires'), expires)),
	field(t('note'), note));
	const read = () => {
		fault.hidden = true;
		if (!name.value.trim()) return wrong(name, t('needsName'));
		const all = { name: name.value.trim(), models: models.value.split(/[\n,]/).map((one) => one.trim()).filter(Boolean), note: note.value.trim() };
		for (const [limit, whole] of LIMITS) {
			const said = limits[limit].value.trim();
			const value = said === '' ? null : Number(said);
			if (value !== null && !(value > 0 && (!whole || Number.isInteger(value)))) return wrong(limits[limit], t(whole ? 'needsWhole' : 'needsPositive'));
			all[limit] = value;
		}
		// an unchanged day keeps its time
		const before = key.expires ? new Date(key.expires * 1000).toISOString().slice(0, 10) : '';
		all.expires = expires.value === before ? key.expires ?? null : expires.value || null;
		return all;
	};
	const fail = (error) => { fault.hidden = true; wrong(controls[error.param?.split(/[.[]/)[0]], error.message); };
	return { element, read, fail };
}

/** Dialog with a form that stays open until the server has taken it. */
async function edit(title, label, key, save) {
	const { element, read, fail } = form(key);
	return ask(title, element, [[null, t('Cancel')], [async () => {
		const values = read();
		if (!values) return undefined;
		try { return await save(values); } catch (error) { fail(error); return undefined; }
	}, label, 'primary']]);
}

async function create() {
	const made = await edit(t('Create key'), t('Create key'), {}, (values) => call('POST', '', values));
	if (!made) return;
	await load();
	const secret = h('input', { type: 'text', readonly: true, value: made.secret, id: 'secret', label: t('key') });
	const next = await ask(made.key.name, [h('p.notice', t('shownOnce')), h('div.pair', secret, button(t('Copy'), () => copy(made.secret), { class: 'primary', id: 'copy-secret' })),], [[null, t('Close')], ['connect', t('connect'), 'primary']]);
	if (next !== 'connect') return;
	useKey(made.secret);
	location.hash = '#connect';
}

async function change(key, values) {
	try {
		await call('PATCH', `/${encodeURIComponent(key.id)}`, values);
		toast(t('saved'));
	} catch (error) { complain(error); }
	await load();
}

async function drop(key) {
	if (await ask(t('Delete key'), h('p', t('deleteKey', { name: key.name })), [[null, t('Cancel')], ['delete', t('Delete key'), 'danger']]) !== 'delete') return;
	try { await call('DELETE', `/${encodeURIComponent(key.id)}`); } catch (error) { complain(error); }
	await load();
}

function budget({ limit, of, spent, reserved, resets }) {
	const show = inUnit(limit);
	const used = spent + reserved;
	return h('div.budget', h('span', t(`limit.${limit}`), ': ', h('b', `${show(used)} / ${show(of)}`)),
		h('meter', { min: 0, max: of, value: Math.min(used, of), high: of * 0.8, label: t(`limit.${limit}`) }),
		h('small.hint', t('resets', { time: moment(resets) })));
}

function line(key) {
	const own = key.source === 'keys.yaml';
	const spent = (sum) => h('span', { title: `${t('measure.requests')}: ${number(sum.requests)}` }, points(sum.points));
	return h('tr', { 'data-key': key.id },
		h('th', { scope: 'row', 'data-label': t('name') }, h('span', h('b', key.name), key.hint && h('small.hint', ` ${key.hint}`), key.note && h('small.hint.block', key.note))),
		cell('status', h('span', { class: `badge ${key.state === 'active' ? 'good' : 'bad'}` }, t(`key.${key.state}`))),
		cell('limits', h('div', key.budgets.map(budget), facts([
			[t('limit.requests_per_minute'), key.requests_per_minute], [t('allowedModels'), key.models.join(', ')], [t('expires'), key.expires && day(key.expires)]]),
		!key.budgets.length && !key.requests_per_minute && !key.models.length && !key.expires && h('span.hint', t('unlimited')))),
		cell('#today', spent(key.usage.today)), cell('#days7', spent(key.usage.days7)), cell('#days30', spent(key.usage.days30)),
		cell('lastUsed', key.last_used ? moment(key.last_used) : t('never')),
		h('td.buttons', own ? h('div.actions',
			toggle(`${t('enabled')}: ${key.name}`, !key.disabled, (on) => change(key, { disabled: !on })),
			button(t('Edit'), async () => {
				if (await edit(key.name, t('Save'), key, (values) => call('PATCH', `/${encodeURIComponent(key.id)}`, values))) { toast(t('saved')); await load(); }
			}, { class: 'small', label: `${t('Edit')}: ${key.name}` }),
			button(t('Delete'), () => drop(key), { class: 'danger small', label: `${t('Delete')}: ${key.name}` })) : h('small.hint', t('fixedKey'))));
}

async function load() {
	const mine = page;
	let news;
	try { news = await get(`/api/admin/keys?tz=${tz()}`); } catch (error) { mine.body.replaceChildren(h('p.notice.bad', error.message)); return; }
	if (page !== mine) return;
	const { keys, file, required, has_poe_key: can } = news;
	const notes = [];
	if (file.state === 'broken') notes.push(['bad', `${file.path}: ${file.error}`]);
	else if (!file.writable) notes.push(['', t('cannotWrite', { path: file.path })]);
	if (!can) notes.push(['', t('keysNeedPoe')]);
	page.create.disabled = !can || !file.writable;
	page.body.replaceChildren(...notes.map(([kind, text]) => h('p', { class: `notice ${kind}` }, text)),
		h('section.card', h('div.bar', h('p.hint', t(required ? 'keysRequired' : 'keysOpen')), h('span.gap'), page.create),
			keys.length ? table('keys', t('keys'), ['name', 'status', 'limits', '#today', '#days7', '#days30', 'lastUsed', 'actions'], h('tbody', keys.map(line)))
				: h('p.wait', t('noKeys')),
			h('p.hint', t('pointsHint'))));
}

export async function mount(root) {
	page = { body: h('div', { id: 'client-keys' }), create: button(t('Create key'), create, { class: 'primary', id: 'create-key' }) };
	root.replaceChildren(page.body);
	await load();
}

export function unmount() { page = null; }
