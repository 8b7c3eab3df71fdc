// Pictures, sound and video in answers. They load on a click, unless the user allows those of Poe and of this server.
import { button, h } from './dom.js';
import { t } from './i18n.js';

const KINDS = {
	image: /\.(png|jpe?g|gif|webp|avif|bmp)$/i,
	audio: /\.(mp3|wav|oga|ogg|m4a|aac|flac|opus)$/i,
	video: /\.(mp4|webm|mov|m4v|ogv)$/i,
};
const shown = new Set();

function kindOf({ pathname, hostname }, name) {
	const folder = /\/base\/(image|audio|video)\//.exec(pathname)?.[1];
	if (folder && isPoes(hostname)) return folder;
	return Object.keys(KINDS).find((kind) => KINDS[kind].test(pathname) || KINDS[kind].test(name));
}

const isPoes = (host) => host === 'poecdn.net' || host.endsWith('.poecdn.net');

function element(kind, src, name) {
	if (kind === 'image') return h('img', { src, alt: name, referrerpolicy: 'no-referrer' });
	return h(kind, { src, controls: true, preload: 'metadata', label: name });
}

/** `demo` is the address of the embedded Poe, whose files this server also serves; `allowed` says whether media load at once. */
export const media = (demo, allowed) => (source, name, wanted) => {
	if (/^data:image\//i.test(source)) return wanted === 'image' ? h('span.media', element('image', source, name)) : null;
	let url;
	try { url = new URL(demo && source.startsWith(`${demo}/art/`) ? location.origin + source.slice(demo.length) : source); } catch { return null; }
	if (!/^https?:$/.test(url.protocol)) return wanted ? h('span', `${name} (${source})`) : null;
	const isOwn = url.origin === location.origin;
	const kind = wanted ?? kindOf(url, name);
	// a link to a picture elsewhere stays a link
	if (!kind || (kind === 'image' && !wanted && !isOwn && !isPoes(url.hostname))) return null;
	const title = name || t(`kind.${kind}`);
	const link = h('a', { href: url.href, target: '_blank', rel: 'noreferrer noopener' }, t('openLink', { name: title }));
	const place = h('span', { class: `media ${kind}` }, link);
	if (!isOwn && url.protocol !== 'https:') return place;
	const load = () => { shown.add(url.href); return element(kind, url.href, title); };
	if (shown.has(url.href) || (allowed() && (isOwn || isPoes(url.hostname)))) place.prepend(load());
	else {
		const show = button(t(kind === 'image' ? 'showPicture' : 'playFile', { name: title }), () => show.replaceWith(load()));
		place.prepend(show);
	}
	return place;
};
