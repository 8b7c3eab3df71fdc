// Markdown as elements. Text never becomes markup: HTML in it is shown as it is written, and math is left as text.
import { button, copy, h } from './dom.js';
import { t } from './i18n.js';

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$/;
const RULE = /^ {0,3}([-*_])([ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])([ \t]+|$)/;
const DELIMITER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const MATH = /^ {0,3}(\$\$|\\\[)/;
const DEEPEST = 8;

const blank = (line) => line.trim() === '';
const indent = (line) => line.length - line.trimStart().length;
const isTable = (lines, at) => lines[at].includes('|') && at + 1 < lines.length && lines[at + 1].includes('-') && DELIMITER.test(lines[at + 1])
	&& cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length;
/** A numbered list interrupts a paragraph only when it begins with 1, so that a line beginning with a year does not. */
const starts = (lines, at) => FENCE.test(lines[at]) || HEADING.test(lines[at]) || RULE.test(lines[at]) || QUOTE.test(lines[at]) || MATH.test(lines[at])
	|| (ITEM.test(lines[at]) && /^\s*([-*+]|1[.)])\s+\S/.test(lines[at])) || isTable(lines, at);

function cellsOf(line) {
	const bare = line.trim().replace(/^\|/, '').replace(/(^|[^\\])\|$/, '$1');
	return bare.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
}

/** The blocks of the lines, one by one: how many lines they take, and what makes their elements. */
function block(lines, at, depth, media) {
	const line = lines[at];
	const run = (test, from = at + 1) => { let end = from; while (end < lines.length && test(end)) end += 1; return end; };
	let found;
	if ((found = FENCE.exec(line))) {
		const [, mark, language] = found;
		const close = new RegExp(`^ {0,3}\\${mark[0]}{${mark.length},}[ \\t]*$`);
		const end = run((n) => !close.test(lines[n]));
		return [Math.min(end + 1, lines.length), () => code(lines.slice(at + 1, end), language, indent(line))];
	}
	if ((found = MATH.exec(line))) {
		const close = found[1] === '$$' ? '$$' : '\\]';
		const closes = (n) => lines[n].slice(n === at ? line.indexOf(found[1]) + 2 : 0).includes(close);
		const end = closes(at) ? at : run((n) => !closes(n));
		return [Math.min(end + 1, lines.length), () => h('p', lines.slice(at, end + 1).join('\n'))];
	}
	// one level for all: texts skip levels, which would confuse screen readers
	if ((found = HEADING.exec(line))) return [at + 1, () => h(`h3.l${found[1].length}`, inline(found[2], media))];
	if (RULE.test(line)) return [at + 1, () => h('hr')];
	if (QUOTE.test(line)) {
		const end = run((n) => QUOTE.test(lines[n]) || (!blank(lines[n]) && !starts(lines, n)));
		return [end, () => h('blockquote', blocks(lines.slice(at, end).map((one) => one.replace(QUOTE, '')), depth + 1, media))];
	}
	if (ITEM.test(line)) return list(lines, at, depth, media);
	if (isTable(lines, at)) {
		const end = run((n) => !blank(lines[n]) && lines[n].includes('|'), at + 2);
		return [end, () => table(lines.slice(at, end), media)];
	}
	const end = run((n) => !blank(lines[n]) && !starts(lines, n));
	return [end, () => h('p', inline(lines.slice(at, end).map((one) => one.replace(/^ +| +$/g, '')).join('\n'), media))];
}

function list(lines, first, depth, media) {
	const kind = (mark) => (/\d/.test(mark) ? mark.at(-1) : mark);
	const [, , mark] = ITEM.exec(lines[first]);
	const items = [];
	let at = first;
	let loose = false;
	while (at < lines.length) {
		const found = ITEM.exec(lines[at]);
		if (!found || kind(found[2]) !== kind(mark) || RULE.test(lines[at])) break;
		const inner = found[1].length + found[2].length + (found[3].length > 4 || !found[3] ? 1 : found[3].length);
		const item = [lines[at].slice(inner)];
		let end = at + 1;
		for (; end < lines.length; end += 1) {
			if (blank(lines[end])) {
				// a blank line stays inside an item when indented text follows
				let next = end + 1;
				while (next < lines.length && blank(lines[next])) next += 1;
				if (next === lines.length || indent(lines[next]) < Math.min(inner, 2)) break;
				loose = true;
			} else if (indent(lines[end]) < Math.min(inner, 2) && (starts(lines, end) || ITEM.test(lines[end]))) break;
			item.push(lines[end].slice(Math.min(inner, indent(lines[end]))));
		}
		items.push(item);
		at = end;
		while (at < lines.length && blank(lines[at]) && ITEM.test(lines[at + 1] ?? '')) at += 1;
	}
	const number = parseInt(mark, 10);
	return [at, () => h(Number.isNaN(number) ? 'ul' : 'ol', { start: number > 1 && number, class: loose && 'loose' },
		items.map((item) => h('li', blocks(item.map((one, n) => (n ? one : one.replace(/^\[([ xX])\] /, (_, tick) => (tick === ' ' ? '☐ ' : '☑ ')))), depth + 1, media))))];
}

function table([head, delimiter, ...rows], media) {
	const align = cellsOf(delimiter).map((one) => (/^:-+:$/.test(one) ? 'mid' : /-:$/.test(one) ? 'num' : null));
	const row = (kind, line) => h('tr', align.map((side, n) => h(kind, { class: side, scope: kind === 'th' && 'col' }, inline(cellsOf(line)[n] ?? '', media))));
	return h('div.wide', { tabindex: '0', role: 'region', label: t('Table') }, h('table', h('thead', row('th', head)), h('tbody', rows.map((line) => row('td', line)))));
}

function code(lines, language, drop) {
	const text = lines.map((line) => line.slice(Math.min(drop, indent(line)))).join('\n');
	return h('div.code', h('header', h('span', language), button(t('Copy'), () => copy(text), { class: 'plain' })), h('pre', { tabindex: '0' }, h('code', text)));
}

function blocks(lines, depth, media) {
	if (depth > DEEPEST) return [h('p', lines.join('\n'))];
	const out = [];
	for (let at = 0; at < lines.length;) {
		if (blank(lines[at])) { at += 1; continue; }
		const [end, build] = block(lines, at, depth, media);
		out.push(build());
		at = end;
	}
	return out;
}

// the lengths are bounded so that the time grows with the text only
const INLINE = [
	[/\\[([][\s\S]{1,2000}?\\[)\]]/y, ([whole]) => whole],
	[/\$\$[\s\S]{1,2000}?\$\$|\$(?![\s\d])[^$\n]{1,300}?(?<![\s\\])\$(?!\d)/y, ([whole]) => whole],
	[/\\([\\`*_{}[\]()#+\-.!|>~$<])/y, ([, letter]) => letter],
	[/(`+)(?!`)([\s\S]{1,4000}?)(?<!`)\1(?!`)/y, ([, , text]) => h('code', text.replace(/^ (.*) $/s, '$1'))],
	[/!\[([^\]\n]{0,500})\]\(\s*<?([^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+"[^"\n]*")?\s*\)/y, ([, name, url], media) => media(url, name, 'image')],
	[/\[((?:[^[\]\n]|\[[^[\]\n]{0,200}\]){1,1000})\]\(\s*<?([^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+"[^"\n]*")?\s*\)/y,
		([, text, url], media, depth) => media(url, text, null) ?? link(url, inline(text, media, depth + 1))],
	[/<(https?:\/\/[^\s<>]+|mailto:[^\s<>]+)>/y, ([, url], media) => media(url, '', null) ?? link(url, url)],
	[/https?:\/\/[^\s<>"'`*|\\]*[^\s<>"'`*|\\.,:;!?)\]}、。，；：！？）」』】]/y, ([url], media) => media(url, '', null) ?? link(url, url)],
	[/(\*\*\*|___)(?=\S)([\s\S]{1,2000}?\S)\1/y, ([, , text], media, depth) => h('strong', h('em', inline(text, media, depth + 1)))],
	[/\*\*(?=\S)([\s\S]{0,2000}?\S)\*\*(?!\*(?!\*))/y, ([, text], media, depth) => h('strong', inline(text, media, depth + 1))],
	[/(?<![\p{L}\d])__(?=\S)([\s\S]{0,2000}?\S)__(?![\p{L}\d])/uy, ([, text], media, depth) => h('strong', inline(text, media, depth + 1))],
	[/\*(?![\s*])([^*\n]{0,1000}?[^\s*])\*(?!\*)/y, ([, text], media, depth) => h('em', inline(text, media, depth + 1))],
	[/(?<![\p{L}\d])_(?![\s_])([^_\n]{0,1000}?[^\s_])_(?![\p{L}\d_])/uy, ([, text], media, depth) => h('em', inline(text, media, depth + 1))],
	[/~~(?=\S)([\s\S]{0,1000}?\S)~~/y, ([, text], media, depth) => h('del', inline(text, media, depth + 1))],
];
const SPECIAL = /[\\$`![<*_~]|https?:\/\//g;

function link(url, content) {
	if (!/^(https?:\/\/|mailto:)/i.test(url)) return h('span', content, ` (${url})`);
	return h('a', { href: url, target: '_blank', rel: 'noreferrer noopener' }, content);
}

/** Elements and texts of one paragraph. `media(url, name, kind)` makes what shows a file, or nothing where it is a plain link. */
function inline(text, media, depth = 0) {
	if (depth > DEEPEST) return [text];
	const out = [];
	let plain = 0;
	for (let at = 0; at < text.length;) {
		SPECIAL.lastIndex = at;
		const next = SPECIAL.exec(text);
		if (!next) break;
		at = next.index;
		let end = 0;
		for (const [pattern, make] of INLINE) {
			pattern.lastIndex = at;
			const found = pattern.exec(text);
			if (!found) continue;
			if (at > plain) out.push(text.slice(plain, at));
			// making the inside uses the same patterns again
			end = plain = pattern.lastIndex;
			out.push(make(found, media, depth));
			break;
		}
		at = end || at + (/^(.)\1*/s.exec(text.slice(at, at + 200))[0].length);
	}
	if (plain < text.length) out.push(text.slice(plain));
	return out;
}

/** The lines, with leading tabs as blanks except in code. */
function linesOf(text) {
	let fence = null;
	return text.replace(/\r\n?/g, '\n').split('\n').map((line) => {
		const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
		const inside = fence;
		if (mark && !fence) fence = mark;
		else if (mark?.startsWith(fence)) fence = null;
		return inside ? line : line.replace(/^[ \t]+/, (space) => space.replaceAll('\t', '    '));
	});
}

const drawn = new WeakMap();

/** Shows `text` in `place`. Blocks that are there already stay, so that a stream costs its last block only. */
export function render(place, text, media) {
	const lines = linesOf(text);
	const parts = [];
	for (let at = 0; at < lines.length;) {
		if (blank(lines[at])) { at += 1; continue; }
		const [end, build] = block(lines, at, 0, media);
		parts.push([lines.slice(at, end).join('\n'), build]);
		at = end;
	}
	const before = drawn.get(place) ?? [];
	let same = 0;
	while (same < parts.length && parts[same][0] === before[same]) same += 1;
	while (place.childNodes.length > same) place.lastChild.remove();
	place.append(...parts.slice(same).map(([, build]) => build()));
	drawn.set(place, parts.map(([source]) => source));
}
