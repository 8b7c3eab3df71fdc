// Connect: ready settings for other programs, and the first steps without a key.
import { get, poeKey, post } from './api.js';
import { ask, button, chips, complain, copy, field, h, input, select } from './dom.js';
import { t } from './i18n.js';
import { listOf } from './rows.js';

const PLACEHOLDER = 'YOUR_KEY';
const chosen = { client: 'claude', address: null, key: '', model: '' };
let clients = null;

/** Fills in a key that has just been made. */
export const useKey = (key) => { chosen.key = key; };

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const QUOTES = { json: (value) => JSON.stringify(value), sh: (value) => shell(String(value)) };

/** The values that a client's text has places for. `facts` is the model's entry in the list. */
export function values(origin, key, model, facts = {}) {
	const context = facts.context_length || 128000;
	return { origin, base: `${origin}/v1`, key, model, context, output: facts.max_output_tokens || Math.min(16384, context),
		docker: origin.replace(/\/\/(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/, '//host.docker.internal'),
		images: listOf(facts.input_modalities).includes('image') ? 'on' : 'off', openai: `openai/${model}`, prefixed: `poe/${model}`,
		body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }) };
}

/** A text of clients.json with its places filled: `{{name}}`, or `{{name:json}}` and `{{name:sh}}` with quotes. */
export const filled = (lines, all) => lines.join('\n').replace(/\{\{(\w+)(?::(json|sh))?\}\}/g, (_, name, quotes) => (QUOTES[quotes] ?? String)(all[name]));

const snippet = (id, text) => [h('pre', { id, tabindex: '0' }, text), h('div.actions', button(t('Copy'), () => copy(text), { class: 'primary', id: `${id}-copy` }))];

/** What to do first on a server without a Poe key. */
export function guide() {
	const out = h('div', { role: 'status' });
	const key = input(poeKey.get(), (value) => poeKey.set(value.trim()), { type: 'password', id: 'first-key' });
	const link = h('a', { href: 'https://poe.com/api/keys', target: '_blank', rel: 'noreferrer noopener' }, 'poe.com/api/keys');
	const forServer = 'export POE_API_KEY=YOUR_POE_KEY\nexport PROXY_API_KEYS=$(openssl rand -hex 24)\npoe2openai';
	return h('section.card.guide', { 'aria-labelledby': 'guide-title' },
		h('h2', { id: 'guide-title' }, t('firstSteps')),
		h('ol',
			h('li', t('stepGet'), ' ', link),
			h('li', t('stepCheck'), h('form.keyform', { on: { submit: (event) => { event.preventDefault(); checkKey(out); } } },
				field(t('Poe API key'), key, t('poeKeyHint')), h('button.primary', { type: 'submit', id: 'check-key' }, t('Check my key'))), out),
			h('li', t('stepUse'), h('ul',
				h('li', t('stepOwn')),
				h('li', t('stepServer'), snippet('server-key', forServer))))));
}

async function checkKey(out) {
	out.replaceChildren(h('p.hint', t('loading')));
	try {
		const [account, { models }] = await Promise.all([get('/api/admin/account', { key: poeKey.get() }), get('/api/admin/models')]);
		const count = models.filter((model) => model.enabled !== false).length;
		out.replaceChildren(h('p.notice.good', t('keyWorks', { points: account.balance, models: count })));
	} catch (error) { out.replaceChildren(h('p.notice.bad', error.message)); }
}

async function createKey(fill) {
	const name = h('input', { type: 'text', id: 'new-key-name', maxlength: 64 });
	if (await ask(t('Create key'), field(t('name'), name), [[null, t('Cancel')], ['create', t('Create key'), 'primary']]) !== 'create') return;
	try {
		fill((await post('/api/admin/keys', { name: name.value.trim() })).secret);
	} catch (error) { complain(error); }
}

/** Addresses under which this server may be reached: as this browser does, and in the local network. */
function addresses(settings) {
	const { protocol, port, hostname, origin } = location;
	const list = [origin];
	const lan = settings?.lan_address;
	if (lan && lan !== hostname) list.push(`${protocol}//${lan}${port && `:${port}`}`);
	return list;
}

export async function mount(root, app, argument) {
	const [list, data] = await Promise.all([get('/api/admin/models'), clients ?? get('/admin/clients.json')]);
	clients = data;
	const models = list.models.filter((model) => model.enabled !== false);
	const entry = (name) => models.find((model) => (model.name || model.id).toLowerCase() === name.toLowerCase());
	if (argument) chosen.model = argument;
	if (!chosen.model) chosen.model = models.find((model) => listOf(model.output_modalities).includes('text'))?.name || models[0]?.id || '';
	const all = addresses(app.settings);
	if (!all.includes(chosen.address)) [chosen.address] = all;
	const out = h('div', { id: 'settings-for' });
	const draw = () => {
		const client = clients.find(({ id }) => id === chosen.client) ?? clients[0];
		const text = filled(client.text, values(chosen.address, chosen.key.trim() || PLACEHOLDER, chosen.model, entry(chosen.model)));
		const where = ['shell', 'settings'].includes(client.where) ? t(`where.${client.where}`) : client.where;
		out.replaceChildren(h('h2', client.label), h('p.hint', h('code', where)),
			...snippet('snippet', text),
			client.variable ? h('div', h('p.hint', t('keyIn', { name: client.variable })), snippet('variable', `export ${client.variable}=${shell(chosen.key.trim() || PLACEHOLDER)}`)) : '');
		for (const tab of tabs.children) tab.setAttribute('aria-pressed', tab.dataset.key === client.id);
	};
	const tabs = chips(t('Programs'), clients.map(({ id, label }) => [id, label]), (id) => { chosen.client = id; draw(); });
	const key = input(chosen.key, (value) => { chosen.key = value; draw(); }, { id: 'client-key', placeholder: PLACEHOLDER });
	const fill = (secret) => { chosen.key = key.value = secret; draw(); copy(secret); };
	const local = /^(localhost|127\.|\[::1\])/.test(location.hostname) && !app.settings?.lan_address;
	root.replaceChildren(...[
		app.settings?.has_poe_key === false && guide(),
		h('section.card', h('h2', t('connectTitle')),
			h('div.three',
				field(t('address'), select(all.map((one) => [one, one]), chosen.address, (one) => { chosen.address = one; draw(); }, { id: 'address' }), local ? t('localOnly') : null),
				field(t('key'), key, t(app.settings?.has_poe_key === false ? 'ownKeyHint' : 'clientKeyHint')),
				field(t('model'), input(chosen.model, (name) => { chosen.model = name; draw(); }, { id: 'model', list: 'model-names', on: { focus: ({ target }) => target.select() } }))),
			app.settings?.has_poe_key !== false && h('div.actions', button(t('Create key'), () => createKey(fill), { id: 'create-key' })),
			h('datalist', { id: 'model-names' }, models.map((model) => h('option', { value: model.name || model.id }, model.owned_by || '')))),
		h('section.card', tabs, out)].filter(Boolean));
	draw();
}
