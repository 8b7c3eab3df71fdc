// Settings in effect and the state of the server.
import { get } from './api.js';
import { cell, h, span, table, tile } from './dom.js';
import { t } from './i18n.js';

const shown = (value) => (value === 'unset' ? t('not set') : value);

export async function mount(root, app) {
	const [settings, state] = await Promise.all([get('/api/admin/settings'), get('/api/admin/config/state')]);
	app.update(settings, state);
	const { health, rows } = settings;
	root.replaceChildren(
		h('div.tiles',
			tile(t('Version'), settings.version),
			tile(t('Health'), t(`state.${health.status}`), t('upFor', { time: span(health.uptime_seconds * 1000) })),
			health.memory_bytes && tile(t('Memory'), `${(health.memory_bytes / 1048576).toFixed(1)} MB`),
			health.redis && tile('Redis', health.redis.error ? '–' : 'OK', health.redis.error || health.redis.place),
			tile('models.yaml', t(`state.${state.state}`), [state.error || state.path, !state.writable && t('read-only'), ...state.warnings].filter(Boolean).join('\n'))),
		h('section.card', h('h2', t('settings')), h('p.hint', t('settingsHint')),
			table('settings', t('settings'), ['name', 'value', 'source', 'meaning'],
				h('tbody', rows.map((row) => h('tr',
					h('th', { scope: 'row', 'data-label': t('name') }, h('code', row.name), h('small.hint', ` ${row.flag}`)),
					cell('value', h('code', shown(row.value) || '–')),
					cell('source', h(row.source === 'default' ? 'span.badge' : 'span.badge.preset', t(`source.${row.source}`))),
					cell('meaning', row.meaning, row.source !== 'default' && row.default && h('small.hint', ` (${t('source.default')}: ${shown(row.default)})`))))))));
}
