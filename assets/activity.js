// What goes through the server.
import { get, post } from './api.js';
import { ask, button, clock, complain, facts, h, number, seconds, table, toggle } from './dom.js';
import { t } from './i18n.js';

const PERIOD = 1500;
const KEPT = 500;
let seq = 0;
let requests = [];
let latest = null;
let timer = null;
let page = null;
let faultsOnly = false;
let words = '';

const good = (status) => status >= 200 && status < 400;

async function poll() {
  clearTimeout(timer);
  try {
    if (document.visibilityState === 'visible') {
      const news = await get(`/api/admin/activity?after=${seq}`);
      if (news.seq < seq) {
        // the server began anew
        seq = 0;
        requests = [];
        page?.done.replaceChildren();
        return void (timer = setTimeout(poll, 0));
      }
      // another call may have brought some of them meanwhile
      const fresh = news.requests.filter((request) => request.seq > seq);
      seq = news.seq;
      latest = news;
      requests = [...fresh, ...requests].slice(0, KEPT);
      if (page) draw(fresh);
    }
    page?.fault.replaceChildren();
  } catch (error) {
    page?.fault.replaceChildren(h('p.notice.bad', t('unreachable', { error: error.message })));
  }
  clearTimeout(timer);
  if (page) timer = setTimeout(poll, PERIOD);
}

async function stop(id) {
  try {
    await post('/api/admin/activity/stop', { id });
    poll();
  } catch (error) { complain(error); }
}

const arrow = (request) => (request.bot && request.bot !== request.model ? [request.model, h('span.from', ` → ${request.bot}`)] : [request.model || '–']);
const tokens = (request) => (request.prompt_tokens || request.completion_tokens ? `${number(request.prompt_tokens)} → ${number(request.completion_tokens)}` : '–');

const cell = (label, ...content) => h('td', { 'data-label': label }, ...content);

function line(request) {
  const isRunning = request.status === 0;
  const status = isRunning ? h('span.badge.live', t('running'))
    : h('span', { class: `badge ${good(request.status) ? 'good' : 'bad'}` }, String(request.status));
  return h('tr', { 'data-id': request.id },
    cell(t('time'), clock(request.time)),
    cell(t('status'), status),
    h('th', { scope: 'row', 'data-label': t('model') }, h('span', ...arrow(request), request.error ? h('small.fault', request.error) : null)),
    cell(t('endpoint'), request.endpoint || '–', ' ', request.stream && h('span.badge', t('stream'))),
    cell(t('client'), h('span', { title: request.agent || '' }, request.client || '–', request.agent ? h('small.hint', ` ${request.agent.split(/[ /]/)[0]}`) : null)),
    h('td.num', { 'data-label': t('firstByte') }, seconds(request.first_byte_ms)),
    h('td.num', { 'data-label': t('duration') }, seconds(request.duration_ms)),
    h('td.num', { 'data-label': t('tokensShort') }, tokens(request)),
    h('td', isRunning ? button(t('stop'), () => stop(request.id), { class: 'danger small' }) : null,
      request.error || request.inspection ? button(t('details'), () => details(request), { class: 'small' }) : null));
}

function details(request) {
  const { inspection } = request;
  const block = (title, text) => [h('h3', title), h('pre', { tabindex: '0' }, text)];
  ask(request.id, [
    facts([[t('client'), `${request.client} ${request.agent || ''}`], [t('endpoint'), `${request.method || ''} ${request.endpoint}`],
      [t('model'), request.model], [t('bot'), request.bot], [t('route'), request.route]]),
    request.error ? block(t('errors'), request.error) : null,
    inspection ? [block(t('request'), inspection.request || ''), block(t('answer'), inspection.answer || '')] : null], []);
}

const wanted = (request) => (!faultsOnly || request.status >= 400 || request.error)
  && (!words || [request.model, request.bot, request.endpoint, request.client, request.agent, request.id].join(' ').toLowerCase().includes(words));

function draw(news) {
  const { running, totals, counters } = latest;
  page.running.textContent = t('runningNow', { n: number(running.length) });
  const held = document.activeElement?.closest?.('#requests tr')?.dataset.id;
  page.live.replaceChildren(...running.map(line));
  const matching = requests.filter(wanted);
  if (news === null || !page.done.children.length) page.done.replaceChildren(...matching.map(line));
  else {
    page.done.prepend(...news.filter(wanted).map(line));
    while (page.done.children.length > KEPT) page.done.lastChild.remove();
  }
  if (held) page.body.querySelector(`tr[data-id="${CSS.escape(held)}"] button`)?.focus();
  page.empty.hidden = running.length + matching.length > 0;
  page.totals.replaceChildren(...[...totals].sort((one, other) => other.requests - one.requests).map((total) => h('tr', h('th', { scope: 'row' }, total.model),
    ...[total.requests, total.errors, total.prompt_tokens, total.completion_tokens].map((value) => h('td.num', number(value))))));
  page.counters.replaceChildren(...Object.entries(counters || {}).map(([name, values]) => h('div.tile', h('h3', t(`counter.${name}`)),
    facts(Object.entries(values).map(([key, value]) => [t(`counter.${key}`), number(value)])))));
  page.inspection.setAttribute('aria-checked', String(latest.inspection));
  page.warning.hidden = !latest.inspection;
}

async function inspect(on) {
  try {
    if (on && await ask(t('inspection'), h('p', t('inspectionWarning')), [[null, t('cancel')], ['on', t('switchOn'), 'danger']]) !== 'on') {
      page.inspection.setAttribute('aria-checked', 'false');
      return;
    }
    latest.inspection = (await post('/api/admin/inspection', { on })).on;
    if (!on) requests = requests.map((request) => ({ ...request, inspection: null }));
    draw(null);
  } catch (error) {
    page.inspection.setAttribute('aria-checked', String(!on));
    complain(error);
  }
}

export async function mount(root) {
  page = { running: h('b', { id: 'running' }), live: h('tbody', { id: 'running-rows' }), done: h('tbody', { id: 'done-rows' }), totals: h('tbody'), counters: h('div.tiles'),
    fault: h('div', { role: 'status' }), empty: h('p.wait', { hidden: true }, t('noRequests')), warning: h('p.notice', { hidden: true }, t('inspectionOn')) };
  page.inspection = toggle(t('inspection'), false, inspect, { id: 'inspection' });
  page.body = table('requests', t('activity'), ['time', 'status', 'model', 'endpoint', 'client', '#firstByte', '#duration', '#tokensShort', 'actions'], page.live, page.done);
  const search = h('input', { type: 'search', id: 'search', value: words, placeholder: t('searchRequests'), label: t('searchRequests'), on: { input: () => { words = search.value.toLowerCase(); draw(null); } } });
  root.replaceChildren(h('h1.sr', t('activity')), page.fault, page.warning,
    h('section.card',
      h('div.bar', page.running, search,
        h('label.check', h('input', { type: 'checkbox', checked: faultsOnly, on: { change: ({ target }) => { faultsOnly = target.checked; draw(null); } } }), t('faultsOnly')),
        h('span.gap'), h('span.check', t('inspection'), page.inspection)),
      page.body, page.empty),
    h('div.columns',
      h('section.card', h('h2', t('totals')), table('totals', t('totals'), ['model', '#requests', '#errors', '#tokensIn', '#tokensOut'], page.totals)),
      h('section.card', h('h2', t('counters')), page.counters)));
  if (latest) draw(null);
  await poll();
}

export function unmount() {
  clearTimeout(timer);
  page = null;
}
