// Form generated from the parameter schema that Poe's list declares for a model.
import { button, field, h, input, invalid, select } from './dom.js';
import { same } from './draft.js';
import { number, t } from './i18n.js';
import { listOf, textOf } from './rows.js';

const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
/** The value that a typed text stands for: JSON, else the text itself. */
export const read = (text) => { try { return JSON.parse(text); } catch { return text; } };
const amount = (text) => (Number.isFinite(Number(text)) ? Number(text) : text);

const parametersOf = (declared) => listOf(declared).filter((one) => textOf(one?.name)).map((one) => ({ ...one, schema: one.schema || {} }));
const isNumber = ({ type, enum: values }) => (type === 'number' || type === 'integer') && !Array.isArray(values);
const fits = (schema, value) => value === undefined || !isNumber(schema)
	|| (typeof value === 'number' && !(value < (schema.minimum ?? value)) && !(value > (schema.maximum ?? value))
		&& (schema.type === 'number' || Number.isInteger(value)));

function rangeOf({ minimum, maximum }) {
	if (minimum != null && maximum != null) return `${number(minimum)} – ${number(maximum)}`;
	return minimum != null ? `≥ ${number(minimum)}` : maximum != null ? `≤ ${number(maximum)}` : '';
}

/** Error message for the first invalid value; values that were in the file before are not checked. */
export function faultOf(declared, values, before = {}) {
	const wrong = parametersOf(declared).find(({ name, schema }) => !same(values[name], before[name]) && !fits(schema, values[name]));
	return wrong && unfit(wrong);
}

const unfit = ({ name, schema }) => t('unfit', { name, kind: schema.type, range: rangeOf(schema) });

function control({ name, schema, default_value: preset }, value, change) {
	const kind = schema.type;
	const unset = preset === undefined || preset === null || preset === '' ? t('not set') : t('notSetBut', { value: shown(preset) });
	const values = Array.isArray(schema.enum) ? [...schema.enum] : kind === 'boolean' ? [true, false] : null;
	if (values) {
		if (value !== undefined && !values.includes(value)) values.push(value);
		const label = (one) => (kind === 'boolean' && typeof one === 'boolean' ? t(one ? 'on' : 'off') : shown(one));
		const chosen = value === undefined ? '' : String(values.indexOf(value));
		return select([['', unset], ...values.map((one, at) => [String(at), label(one)])], chosen,
			(at) => change(at === '' ? undefined : values[at]));
	}
	// no type=number: its value is empty while the text is not a number, also for a text from the file
	const control = input(value === undefined ? '' : shown(value), (text) => {
		const now = text.trim() === '' ? undefined : isNumber(schema) ? amount(text) : kind === 'string' ? text : read(text);
		invalid(control, !fits(schema, now) && unfit({ name, schema }));
		change(now);
	}, { placeholder: unset, inputmode: isNumber(schema) && 'decimal', 'aria-invalid': String(!fits(schema, value)) });
	return control;
}

const hintOf = ({ description, schema }) => [textOf(description), rangeOf(schema)].filter(Boolean).join(' · ');

/** One control per declared parameter, then the other parameters that are set. `change` receives all values. */
export function parameterForm(declared, values, change) {
	const now = { ...values };
	const put = (name, value) => {
		if (value === undefined) delete now[name];
		else now[name] = value;
		change({ ...now });
	};
	const known = parametersOf(declared);
	const rows = known.map((one) =>
		field(one.name, control(one, now[one.name], (value) => put(one.name, value)), hintOf(one)));
	const others = h('div.others');
	const list = () => others.replaceChildren(...Object.keys(now)
		.filter((name) => !known.some((one) => one.name === name))
		.map((name) => h('div.pair',
			field(name, input(shown(now[name]), (text) => put(name, read(text)))),
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
		h('details', h('summary', t('Add parameter')), h('div.pair', name, value, button(t('Add'), add))));
}
