// Elements, dialogs and notices. All content is set as text or as a property, never as markup.
import { t } from './i18n.js';

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'open', 'hidden']);

function fill(make, what, first, rest) {
	const [name, ...classes] = what.split('.');
	const element = make(name);
	if (classes.length) element.setAttribute('class', classes.join(' '));
	const plain = first?.constructor === Object;
	if (name === 'button') element.type = 'button';
	if (name === 'input') element.autocomplete = 'off';
	for (const [key, value] of Object.entries(plain ? first : {})) {
		if (key === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
		else if (PROPERTIES.has(key)) element[key] = value ?? '';
		else if (value !== false && value != null) element.setAttribute(key === 'label' ? 'aria-label' : key, value === true ? '' : value);
	}
	element.append(...(plain ? rest : [first, ...rest]).flat(9).filter((child) => child != null && child !== false));
	return element;
}

/** `h('p.hint', {attributes}, children…)`, the attributes optional, `label` the one for screen readers. Strings become text. */
export const h = (what, first, ...rest) => fill((name) => document.createElement(name), what, first, rest);
export const svg = (what, first, ...rest) => fill((name) => document.createElementNS(SVG, name), what, first, rest);

export const button = (label, click, attributes = {}) => h('button', { ...attributes, on: { click } }, label);

export const closer = (click) => button('✕', click, { class: 'plain', label: t('Close') });

let serial = 0;
export function field(label, control, hint) {
	const id = (control.id ||= `f${++serial}`);
	if (hint) control.setAttribute('aria-describedby', `${id}h`);
	return h('div.field', h('label', { for: id }, label), control,
		hint && h('small', { id: `${id}h`, class: 'hint' }, hint));
}

/** Shows an error beside the control that caused it, or takes it away. */
export function invalid(control, message) {
	control.setAttribute('aria-invalid', String(!!message));
	if (control.nextElementSibling?.matches('small.fault')) control.nextElementSibling.remove();
	if (message) control.after(h('small.fault', { role: 'alert' }, message));
}

export const select = (options, value, change, attributes = {}) =>
	h('select', { ...attributes, on: { change: (event) => change(event.target.value) } },
		options.map(([key, label]) => h('option', { value: key, selected: key === value }, label)));

export const input = (value, change, attributes = {}) =>
	h('input', { type: 'text', value, ...attributes, on: { input: ({ target }) => change(target.value), ...attributes.on } });
export const search = (key, words, change) => input(words, change, { type: 'search', id: 'search', placeholder: t(key), label: t(key) });
export const check = (label, checked, change) =>
	h('label.check', h('input', { type: 'checkbox', checked, on: { change: ({ target }) => change(target.checked) } }), label);

export const toggle = (label, on, flick, attributes = {}) =>
	h('button.switch', { role: 'switch', 'aria-checked': String(on), label, ...attributes,
		on: { click: (event) => {
			const now = event.currentTarget.getAttribute('aria-checked') !== 'true';
			event.currentTarget.setAttribute('aria-checked', now);
			flick(now, event);
		} } });

/** Notice; errors stay until they are closed. */
export function toast(text, kind = 'good', details = []) {
	const notice = h('div', { class: `toast ${kind}`, role: kind === 'bad' ? 'alert' : null },
		h('div', h('p', text), details.map((line) => h('p.hint', line))),
		closer(() => notice.remove()));
	document.getElementById('toasts').append(notice);
	if (kind === 'good' && !details.length) setTimeout(() => notice.remove(), 5000);
}

export const hush = () => document.getElementById('toasts').replaceChildren();

export const complain = ({ param, message }) => toast(param && !message.includes(param) ? `${param}: ${message}` : message, 'bad');

/**
 * Modal dialog: resolves to the value of the button that closed it, null for Esc. `actions` are [value, label, class]; a function is called for
 * its value, and while that is undefined the dialog stays open.
 */
export function ask(title, content, actions) {
	return new Promise((resolve) => {
		const close = (value) => { dialog.close(); dialog.remove(); resolve(value); };
		const dialog = h('dialog', { label: title, on: { cancel: (event) => { event.preventDefault(); close(null); } } },
			h('header', h('h2', title), closer(() => close(null))),
			h('div.body', content),
			h('footer', actions.map(([value, label, kind]) => button(label, async () => {
				const chosen = typeof value === 'function' ? await value() : value;
				if (chosen !== undefined) close(chosen);
			}, { class: kind }))));
		document.body.append(dialog);
		dialog.showModal();
	});
}

/** Copies to the clipboard, also on plain http, where the clipboard API is not available. */
export async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		const area = h('textarea.sr', { value: text, 'aria-hidden': 'true' });
		(document.querySelector('dialog[open]') || document.body).append(area);
		area.select();
		document.execCommand('copy');
		area.remove();
	}
	toast(t('Copied'));
}

export function download(name, text, type = 'text/yaml') {
	const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
	h('a', { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Table that scrolls sideways in a narrow window. `heads` are keys of texts; a `#` prefix marks a column of numbers. */
export const table = (id, label, heads, ...bodies) => h('div.wide', { tabindex: '0', role: 'region', label }, h('table', { id },
	h('thead', h('tr', heads.map((key) => h('th', { scope: 'col', class: key[0] === '#' ? 'num' : null }, t(key.replace('#', '')))))), bodies));

/** Cell that carries its column's heading for narrow windows. */
export const cell = (key, ...content) => h(key[0] === '#' ? 'td.num' : 'td', { 'data-label': t(key.replace('#', '')) }, ...content);

/** Reads or writes a preference in localStorage, null to remove it; null where the browser blocks or has filled its storage. */
export function memory(name, value) {
	try {
		if (value === null) localStorage.removeItem(name);
		else if (value !== undefined) localStorage.setItem(name, value);
		return localStorage.getItem(name);
	} catch { return null; }
}

export const tile = (title, value, note) => h('div.tile', h('h2', title), h('p.figure', value), note && h('p.hint', note));

export const facts = (pairs) => h('dl.facts', pairs.filter(([, value]) => value != null && value !== '' && value !== '–')
	.map(([name, value]) => [h('dt', name), h('dd', value)]));

export const chips = (label, pairs, press) => h('div.chips', { role: 'group', label },
	pairs.map(([key, ...text]) => h('button.chip', { 'data-key': key, 'aria-pressed': 'false', on: { click: () => press(key) } }, text)));

const language = () => document.documentElement.lang;
export const short = (value) =>
	value == null ? '–' : new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(value).replace('K', 'k');
/** Formats a duration: 12 ms, 3.4 s, and from a minute on in two units: 1 min 15 s, 3 d 2 h. */
export function span(ms) {
	if (ms == null) return '–';
	if (ms < 60000) return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
	const [days, hours, minutes] = [86400000, 3600000, 60000].map((unit) => Math.floor(ms / unit));
	if (hours) return days ? `${days} d ${hours % 24} h` : `${hours} h ${minutes % 60} min`;
	return `${minutes} min ${Math.floor(ms / 1000) % 60} s`;
}
export const clock = (ms) => new Date(ms).toLocaleTimeString(language(), { hour12: false });
export const month = (when) =>
	when ? new Date(when * 1000).toLocaleDateString(language(), { year: 'numeric', month: 'short' }) : '–';
