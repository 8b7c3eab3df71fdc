// A form made of a model's own parameter schema, as Poe's list declares it.
import { button, field, h, input, select } from './dom.js';
import { number, t } from './i18n.js';
import { listOf, textOf } from './rows.js';

const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
const read = (text) => { try { return JSON.parse(text); } catch { return text; } };

function control({ schema, default_value: preset }, value, change) {
	const kind = schema.type;
	const unset = preset === undefined || preset === null || preset === '' ? t('notSet') : t('notSetBut', { value: shown(preset) });
	const values = Array.isArray(schema.enum) ? [...schema.enum] : kind === 'boolean' ? [true, false] : null;
	if (values) {
		if (value !== undefined && !values.includes(value)) values.push(value);
		const label = (one) => (kind === 'boolean' && typeof one === 'boolean' ? t(one ? 'on' : 'off') : shown(one));
		const chosen = value === undefined ? '' : String(values.indexOf(value));
		return select([['', unset], ...values.map((one, at) => [String(at), label(one)])], chosen,
			(at) => change(at === '' ? undefined : values[at]));
	}
	const isNumber = kind === 'number' || kind === 'integer';
	return h('input', {
		type: isNumber ? 'number' : 'text',
		...(isNumber ? { min: schema.minimum, max: schema.maximum, step: kind === 'integer' ? 1 : 'any', inputmode: 'decimal' } : {}),
		placeholder: unset,
		value: value === undefined ? '' : shown(value),
		on: { input: ({ target }) => {
			const wrong = target.value !== '' && !target.validity.valid;
			target.setAttribute('aria-invalid', wrong);
			if (!wrong && !target.validity.badInput) {
				change(target.value === '' ? undefined : isNumber ? Number(target.value) : kind === 'string' ? target.value : read(target.value));
			}
		} },
	});
}

function hintOf({ description, schema }) {
	const { minimum, maximum } = schema;
	const range = minimum != null && maximum != null ? `${number(minimum)} – ${number(maximum)}`
		: minimum != null ? `≥ ${number(minimum)}` : maximum != null ? `≤ ${number(maximum)}` : '';
	return [textOf(description), range].filter(Boolean).join(' · ');
}

/** A control for each declared parameter, then what is set beyond those. `change` gets all that is set. */
export function parameterForm(declared, values, change) {
	const now = { ...values };
	const put = (name, value) => {
		if (value === undefined) delete now[name];
		else now[name] = value;
		change({ ...now });
	};
	const known = listOf(declared).filter((one) => textOf(one?.name)).map((one) => ({ ...one, schema: one.schema || {} }));
	const rows = known.map((one) =>
		field(one.name, control(one, now[one.name], (value) => put(one.name, value)), hintOf(one)));
	const others = h('div.others');
	const list = () => others.replaceChildren(...Object.keys(now)
		.filter((name) => !known.some((one) => one.name === name))
		.map((name) => h('div.pair',
			field(name, h('input', { type: 'text', value: shown(now[name]), on: { change: ({ target }) => put(name, read(target.value)) } })),
			button('✕', () => { put(name, undefined); list(); }, { class: 'plain', label: t('removeOne', { name }) }))));
	list();
	const [name, value] = ['name', 'value'].map((key) => input('', () => {}, { label: t(key), placeholder: t(key) }));
	const add = () => {
		if (!name.value.trim()) return name.focus();
		put(name.value.trim(), read(value.value));
		name.value = value.value = '';
		list();
	};
	return h('div.form', rows, others,
		h('details', h('summary', t('addParameter')), h('div.pair', name, value, button(t('Add'), add))));
}
