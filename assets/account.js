// Points: balance, points per day and points by model.
import { get, poeKey } from './api.js';
import { button, field, h, svg, table, tile } from './dom.js';
import { number, t } from './i18n.js';

const [HIGH, GAP] = [200, 6];

/** Bar chart of points per day. One unit is one pixel, so that the labels are readable at any width. */
function chart(days, wide) {
	const most = Math.max(1, ...days.map((day) => day.points));
	const step = wide / days.length;
	const every = Math.ceil(40 / step);
	const bars = days.map((day, at) => {
		const height = day.points ? Math.max(2, (day.points / most) * (HIGH - 40)) : 0;
		const x = at * step;
		return svg('g', svg('title', `${day.date}: ${number(day.points)}`),
			svg('rect', { x, y: 0, width: step, height: HIGH, fill: 'transparent' }),
			svg('rect.mark', { x: x + GAP / 2, y: HIGH - 20 - height, width: Math.max(1, step - GAP), height, rx: 3 }),
			at % every === 0 && svg('text', { x: x + step / 2, y: HIGH - 5, 'text-anchor': 'middle' }, day.date.slice(5)));
	});
	return svg('svg.chart', { viewBox: `0 0 ${wide} ${HIGH}`, role: 'img', label: t('chart', { n: days.length, most }) },
		svg('line', { x1: 0, x2: wide, y1: HIGH - 20, y2: HIGH - 20 }), bars);
}

const points = (label, heading, rows) => table(null, label, [heading, '#Points'],
	h('tbody', rows.map(([name, value]) => h('tr', h('th', { scope: 'row' }, name), h('td.num', number(value))))));

function report({ balance, days, top, partial }, wide) {
	const spent = days.reduce((sum, day) => sum + day.points, 0);
	return [
		h('div.tiles',
			tile(t('balance'), h('span', { id: 'balance' }, number(balance))),
			tile(t('spent', { n: days.length }), number(spent))),
		partial && h('p.notice', t('partial')),
		h('section.card', h('h2', t('usage')), days.length ? [chart(days, wide), h('details', h('summary', t('As a table')), points(t('usage'), 'Day', days.map((day) => [day.date, day.points])))]
			: h('p.wait', t('nothing'))),
		top?.length > 0 && h('section.card', h('h2', t('topBots')), points(t('topBots'), 'bot', top.map((one) => [one.bot, one.points]))),
	].filter(Boolean);
}

export async function mount(root, app) {
	const out = h('div', { id: 'account', 'aria-live': 'polite' });
	const load = async () => {
		if (app.settings?.has_poe_key === false && !poeKey.get()) return out.replaceChildren(h('p.notice', t('needsKey')));
		out.replaceChildren(h('p.wait', t('loading')));
		try {
			out.replaceChildren(...report(await get('/api/admin/account', { key: poeKey.get() }), out.clientWidth - 34));
		} catch (error) {
			out.replaceChildren(h('p.notice.bad', error.message));
		}
	};
	const key = h('input', { type: 'password', id: 'key', value: poeKey.get(), placeholder: t(app.settings?.has_poe_key ? 'serverKey' : 'noKey') });
	root.replaceChildren(
		h('form.card.keyform', { on: { submit: (event) => { event.preventDefault(); poeKey.set(key.value.trim()); load(); } } },
			field(t('Poe API key'), key, t('poeKeyHint')),
			h('div.actions', h('button.primary', { type: 'submit' }, t('Show usage')), button(t('Clear key'), () => { key.value = ''; poeKey.set(''); load(); }))), out);
	await load();
}
