// Charts over time as SVG, and the same as a table.
import { h, svg } from './dom.js';
import { t } from './i18n.js';

const [HIGH, LEFT, BOTTOM, TOP] = [210, 48, 22, 10];

/** A round number of at least `most`, and the marks up to it. */
function scale(most) {
	const rough = Math.max(most, 1e-9) / 4;
	const ten = 10 ** Math.floor(Math.log10(rough));
	const step = [1, 2, 2.5, 5, 10].map((one) => one * ten).find((one) => one >= rough);
	return { top: step * 4, marks: [0, 1, 2, 3, 4].map((n) => n * step) };
}

/**
 * A chart of bars or lines over time with axes. `series` are {name, values, tone, show}; each step can be reached by the arrow keys, which
 * show its values as a pointer does. `show(value)` writes a value.
 */
export function chart({ id, title, labels, series, bars, show, axis = show }, wide) {
	const heights = bars ? labels.map((_, at) => series.reduce((sum, one) => sum + (one.values[at] ?? 0), 0)) : series.flatMap((one) => one.values);
	const { top, marks } = scale(Math.max(0, ...heights.filter((one) => one != null)));
	const [inner, slot] = [HIGH - BOTTOM - TOP, (wide - LEFT) / labels.length];
	const y = (value) => TOP + inner - (value / top) * inner;
	const every = Math.max(1, Math.ceil(52 / slot));
	const words = (at) => [labels[at], ...series.filter((one) => one.values[at]).map((one) => `${one.name} ${show(one.values[at])}`)].join(' · ');
	const tip = h('p.tip', { role: 'status' });
	const focus = svg('rect.focus', { y: TOP, width: slot, height: inner, visibility: 'hidden' });
	let current = labels.length - 1;
	const point = (at) => {
		current = Math.max(0, Math.min(labels.length - 1, at));
		focus.setAttribute('x', LEFT + current * slot);
		focus.setAttribute('visibility', 'visible');
		tip.textContent = words(current);
	};
	const leave = () => { focus.setAttribute('visibility', 'hidden'); tip.textContent = ''; };
	const drawing = svg('svg.chart', { viewBox: `0 0 ${wide} ${HIGH}`, id, role: 'img', tabindex: '0', label: title, on: {
		keydown: (event) => {
			const to = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: labels.length - 1 }[event.key];
			if (to !== undefined) { event.preventDefault(); point(to); }
		},
		focus: () => point(current), blur: leave, pointerleave: leave,
		pointermove: (event) => {
			const box = drawing.getBoundingClientRect();
			point(Math.floor(((event.clientX - box.left) / box.width * wide - LEFT) / slot));
		} } },
	marks.map((mark) => [svg('line', { x1: LEFT, x2: wide, y1: y(mark), y2: y(mark) }), svg('text', { x: LEFT - 6, y: y(mark) + 4, 'text-anchor': 'end' }, axis(mark))]),
	labels.map((text, at) => at % every === 0 && svg('text', { x: LEFT + at * slot + slot / 2, y: HIGH - 6, 'text-anchor': 'middle' }, text)),
	focus,
	bars ? stacks(series, labels, slot, y) : series.map((one) => lines(one, slot, y)));
	return h('div.plot', drawing, tip, legend(series));
}

const stacks = (series, labels, slot, y) => labels.map((_, at) => {
	let sum = 0;
	return series.map((one) => {
		const value = one.values[at] ?? 0;
		if (!value) return null;
		const bar = svg(`rect.mark.${one.tone}`, { x: LEFT + at * slot + slot * 0.15, width: Math.max(1, slot * 0.7), y: y(sum + value), height: Math.max(1, y(sum) - y(sum + value)) });
		sum += value;
		return bar;
	});
});

/** A line broken where there is no value; a lone value is a dot. */
function lines({ values, tone }, slot, y) {
	const x = (at) => LEFT + at * slot + slot / 2;
	const dots = values.map((value, at) => value != null && svg(`circle.${tone}`, { cx: x(at), cy: y(value), r: 2.5 }));
	const path = values.map((value, at) => (value == null ? '' : `${values[at - 1] == null ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`)).join('');
	return [path && svg(`path.${tone}`, { d: path, fill: 'none' }), dots];
}

const legend = (series) => h('ul.legend', series.map(({ name, tone }) => h('li', svg(`svg.${tone}`, { viewBox: '0 0 10 10', width: 10, height: 10, 'aria-hidden': 'true' }, svg('rect.mark', { width: 10, height: 10, rx: 2 })), ' ', name)));

export const chartTable = (title, heading, { labels, series, show }) => h('details', h('summary', t('As a table')),
	h('div.wide', { tabindex: '0', role: 'region', label: title }, h('table.figures-table',
		h('thead', h('tr', h('th', { scope: 'col' }, t(heading)), series.map(({ name }) => h('th.num', { scope: 'col' }, name)))),
		h('tbody', labels.map((text, at) => h('tr', h('th', { scope: 'row' }, text), series.map(({ values }) => h('td.num', values[at] == null ? '–' : show(values[at])))))))));
