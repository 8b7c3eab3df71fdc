// What the server runs with, and how it feels.
import { get } from './api.js';
import { cell, h, seconds, table, tile } from './dom.js';
import { t } from './i18n.js';

function span(total) {
	const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
	return total < 60 ? seconds(total * 1000) : [days && `${days} d`, (days || hours) && `${hours} h`, `${minutes} min`].filter(Boolean).join(' ');
}

export async function mount(root, app) {
	const [settings, state] = await Promise.all([get('/api/admin/settings'), get('/api/admin/config/state')]);
	app.told(settings, state);
	const { health, rows } = settings;
	root.replaceChildren(
		h('div.tiles',
			tile(t('Version'), settings.version),
			tile(t('Health'), health.status, t('upFor', { time: span(health.uptime_seconds) })),
			health.memory_bytes && tile(t('Memory'), `${(health.memory_bytes / 1048576).toFixed(1)} MB`),
			tile('models.yaml', t(`state.${state.state}`), state.error || [state.path, state.writable === false && t('readOnly')].filter(Boolean).join(' · '))),
		h('section.card', h('h2', t('settings')), h('p.hint', t('settingsHint')),
			table('settings', t('settings'), ['name', 'value', 'source', 'meaning'],
				h('tbody', rows.map((row) => h('tr',
					h('th', { scope: 'row', 'data-label': t('name') }, h('code', row.name), h('small.hint', ` ${row.flag}`)),
					cell('value', h('code', row.value || '–')),
					cell('source', h('span', { class: `badge ${row.source === 'default' ? '' : 'preset'}` }, t(`source.${row.source}`))),
					cell('meaning', row.meaning, row.source !== 'default' && row.default && h('small.hint', ` (${t('source.default')}: ${row.default})`))))))));
}
