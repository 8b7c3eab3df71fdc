// The frame of the page: tabs, language, theme, warnings.
import * as account from './account.js';
import * as activity from './activity.js';
import { get } from './api.js';
import { complain, h, select } from './dom.js';
import { LANGUAGES, setLanguage, t } from './i18n.js';
import * as models from './models.js';
import * as settings from './settings.js';
import * as attempt from './try.js';

const TABS = { models, try: attempt, activity, account, settings };
const THEMES = ['auto', 'light', 'dark'];
const root = document.getElementById('main');
let open = null;

/** What every tab may know: the settings as last told, and who is to hear of news. */
const app = {
  settings: null,
  told(now, state) {
    app.settings = now;
    document.getElementById('version').textContent = now.version;
    const lines = (now.warnings || []).filter((name) => name !== 'config_broken').map((name) => t(`warning.${name}`));
    if (state?.state === 'broken') lines.push(`${t('warning.config_broken')} ${state.error || ''}`);
    document.getElementById('banners').replaceChildren(...lines.map((text) => h('p.notice.bad', { role: 'alert' }, text)));
  },
  async refresh() {
    try {
      app.told(...await Promise.all([get('/api/admin/settings'), get('/api/admin/config/state')]));
    } catch (error) { complain(error); }
  },
};

function remembered(name, allowed) {
  try {
    const value = localStorage.getItem(name);
    return allowed.includes(value) ? value : null;
  } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing keeps nothing */ }
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  remember('theme', name);
}

function frame() {
  document.getElementById('skip').textContent = t('skip');
  const tabs = document.getElementById('tabs');
  tabs.setAttribute('aria-label', t('sections'));
  tabs.replaceChildren(...Object.keys(TABS).map((name) => h('a', { href: `#${name}`, 'aria-current': name === open ? 'page' : null }, t(name))));
  document.getElementById('tools').replaceChildren(
    select(THEMES.map((name) => [name, t(`theme.${name}`)]), document.documentElement.dataset.theme, theme, { id: 'theme', 'aria-label': t('theme') }),
    select(Object.entries(LANGUAGES), document.documentElement.lang, (name) => { speak(name); draw(); }, { id: 'language', 'aria-label': t('language') }));
}

function speak(name) {
  setLanguage(name);
  document.documentElement.lang = name;
  remember('language', name);
}

/** The language that the browser prefers, of those that are here. */
function preferred() {
  for (const wish of navigator.languages) {
    if (/^zh\b.*(hant|tw|hk|mo)/i.test(wish)) return 'zh-TW';
    if (/^zh\b/i.test(wish)) return 'zh-CN';
    if (/^en\b/i.test(wish)) return 'en';
  }
  return 'en';
}

let turn = 0;
async function draw() {
  const [name, ...rest] = location.hash.slice(1).split('/');
  const to = Object.hasOwn(TABS, name) ? name : 'models';
  const mine = ++turn;
  if (open) TABS[open].unmount?.();
  const moved = open !== to;
  open = to;
  frame();
  await (app.settings ? moved && to !== 'settings' && app.refresh() : app.refresh());
  if (mine !== turn) return;
  try {
    // each tab draws into a place of its own: one that comes late draws where nobody looks
    const place = h('div', { class: `tab ${to}` });
    root.replaceChildren(place);
    await TABS[to].mount(place, app, rest.length ? decodeURIComponent(rest.join('/')) : null);
  } catch (error) {
    complain(error);
    if (mine === turn) root.replaceChildren(h('p.notice.bad', error.message), h('button', { on: { click: draw } }, t('retry')));
  }
}

addEventListener('hashchange', draw);
addEventListener('beforeunload', (event) => {
  if (models.unsaved()) event.preventDefault();
});
addEventListener('keydown', (event) => {
  if (document.querySelector('dialog[open]')) return;
  const typing = event.target.closest?.('input, textarea, select');
  if (event.key === '/' && !typing) {
    const search = document.getElementById('search') || document.getElementById('say');
    if (search) { event.preventDefault(); search.focus(); }
  } else if (event.key === 'Escape' && event.target.type === 'search' && event.target.value) {
    // the browser empties the field
  } else if (open) TABS[open].shortcut?.(event);
});

theme(remembered('theme', THEMES) || 'auto');
speak(remembered('language', Object.keys(LANGUAGES)) || preferred());
draw();
