// Points: balance, points per day and points by model.
import { get, poeKey } from './api.js';
import { chart, chartTable } from './chart.js';
import { button, field, h, short, table, tile } from './dom.js';
import { number, t } from './i18n.js';

const points = (label, heading, rows) => table(null, label, [heading, '#Points'],
	h('tbody', rows.map(([name, value]) => h('tr', h('th', { scope: 'row' }, name), h('td.num', number(value))))));

function drawn(days, wide) {
	if (!days.length) return h('p.wait', t('nothing'));
	const what = { title: t('usage'), labels: days.map((day) => day.date.slice(5)), series: [{ name: t('Points'), values: days.map((day) => day.points), tone: 'tone0' }], bars: true, show: number, axis: short };
	return [chart(what, wide), chartTable(what.title, 'Day', what)];
}

function report({ balance, days, top, partial }, wide) {
	const spent = days.reduce((sum, day) => sum + day.points, 0);
	return [
		h('div.tiles',
			tile(t('balance'), h('span', { id: 'balance' }, number(balance))),
			tile(t('spent', { n: days.length }), number(spent))),
		partial && h('p.notice', t('partial')),
		h('section.card', h('h2', t('usage')), drawn(days, wide)),
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
