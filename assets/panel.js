// Settings and details of one model, beside the list.
import { button, closer, copy, facts, field, h, input, month, select, toggle } from './dom.js';
import { parameterForm } from './form.js';
import { number, t } from './i18n.js';
import { pointsText, priceText, textOf } from './rows.js';

const about = ({ bot, owner, model, inputs, outputs, price, created }) => facts([
	[t('bot'), bot], [t('owner'), owner], [t('context'), model.context_length && number(model.context_length)],
	[t('Maximum output'), model.max_output_tokens && number(model.max_output_tokens)],
	[t('Input → output'), inputs.length > 0 ? `${inputs.join(', ')} → ${outputs.join(', ')}` : null], [t('price'), [priceText(price, t), pointsText(price, t)].filter(Boolean).join(' · ')],
	[t('added'), created ? month(created) : null]]);

/** Panel for a row. `set(name, value)` changes the draft; `act` has undo, close, attempt and drop. */
export function panel(row, draft, set, act) {
	const { bot, model } = row;
	const get = (name) => draft.get(bot, name);
	const text = (name, value) => set(name, value.trim() === '' ? null : value.trim());
	const flick = (key, hint, on, change) =>
		h('div.inline', h('span', t(key), h('small.hint', t(hint, { name: row.name }))), toggle(t(key), on, change));
	const title = h('h2', { id: 'panel-title', tabindex: '-1' }, row.name);
	return h('aside', { id: 'panel', class: 'card', 'aria-labelledby': 'panel-title' },
		h('header', title, closer(act.close)),
		h('p.hint', textOf(model.description)),
		h('div.actions',
			button(t('chat'), act.attempt, { disabled: !row.enabled || row.removed }),
			button(t('Copy name'), () => copy(row.name)),
			button(t('Undo'), act.undo, { id: 'undo-one', disabled: !row.changed }),
			row.custom && button(t('Remove model'), act.drop, { class: 'danger' })),
		h('div.form',
			h('div.inline', h('span', t('enabled')), toggle(`${t('enabled')}: ${row.name}`, get('enable'), (on) => set('enable', on))),
			field(t('rename'), input(get('mapping'), (value) => text('mapping', value), { id: 'mapping', 'data-field': 'mapping', placeholder: bot }), t('renameHint')),
			field(t('aliases'), input(get('aliases').join(', '),
				(value) => set('aliases', value.split(',').map((name) => name.trim()).filter(Boolean)), { 'data-field': 'aliases' }), t('aliasesHint')),
			field(t('Description'), input(get('description'), (value) => text('description', value))),
			field(t('toolsWay'), select([['auto', t('automatic')], ['native', t('toolsNative')], ['prompt', t('in the prompt')]], get('tools'), (value) => set('tools', value))),
			field(t('Poe endpoint'), select([['', t('byServer')], ['bot', t('bot protocol')], ['auto', t('automatic')], ['native', t('toolsNative')]], get('route') ?? '',
				(value) => set('route', value || null))),
			flick('suffixes', 'suffixesHint', get('reasoning') !== false, (on) => set('reasoning', on && (draft.was(bot, 'reasoning') || null))),
			flick('replace', 'replaceHint', get('replace_response'), (on) => set('replace_response', on))),
		h('h3', t('presets')),
		h('p.hint', t('presetsHint')),
		parameterForm(model.parameters, get('parameters'), (values) => set('parameters', values)),
		h('h3', t('facts')),
		about(row));
}

export function customForm() {
	const id = h('input', { type: 'text', id: 'custom-id', required: true });
	const owner = h('input', { type: 'text' });
	const form = h('div.form', h('p.hint', t('customHint')),
		field(t('bot'), id), field(t('owner'), owner));
	return { form, read: () => id.value.trim() && {
		id: id.value.trim(), created: Math.floor(Date.now() / 1000), ...(owner.value.trim() ? { owned_by: owner.value.trim() } : {}) } };
}
