// Rows of the list of models: content, filters, order. No access to the page or the server.

const milliseconds = 1e11;

/** Values from the file and from Poe's list may have unexpected types. */
export const listOf = (list) => (Array.isArray(list) ? list : []);
export const textOf = (text) => (typeof text === 'string' ? text : '');

export function rowsOf(models, draft, favourites = new Set()) {
	const rows = new Map();
	for (const model of models) rows.set(model.id.toLowerCase(), model);
	const extra = [...Object.keys(draft.base.models), ...Object.keys(draft.now.models),
		...[...draft.base.custom_models, ...draft.now.custom_models].map((model) => String(model.id))];
	for (const bot of extra) {
		if (!rows.has(bot.toLowerCase())) {
			const custom = draft.now.custom_models.find((model) => String(model.id) === bot) || {};
			rows.set(bot.toLowerCase(), { id: bot, ghost: true, owned_by: custom.owned_by, created: custom.created });
		}
	}
	const changed = draft.changed();
	return [...rows.values()].map((model) => ({ ...rowOf(model, draft, changed), favourite: favourites.has(model.id) }));
}

export function rowOf(model, draft, changed) {
	const bot = model.id;
	const names = listOf(model.parameters).map((parameter) => parameter?.name);
	const created = model.created > milliseconds ? model.created / 1000 : model.created || 0;
	const custom = draft.isCustom(bot);
	const mapping = String(draft.get(bot, 'mapping') ?? '').trim();
	const row = {
		bot, model, custom, created,
		name: mapping || bot,
		mapped: !!mapping,
		aliases: listOf(draft.get(bot, 'aliases')),
		enabled: draft.get(bot, 'enable'),
		replace: draft.get(bot, 'replace_response'),
		preset: Object.keys(draft.get(bot, 'parameters')).length > 0,
		removed: !custom && draft.wasCustom(bot) && (!!model.ghost || !!model.custom),
		owner: String(model.owned_by || (custom ? 'custom' : '–')),
		context: model.context_length || null,
		tools: !!model.tools || (custom && draft.get(bot, 'tools') !== 'auto'),
		search: names.includes('web_search'),
		inputs: listOf(model.input_modalities),
		outputs: listOf(model.output_modalities),
		price: priceOf(model.pricing),
		changed: changed.has(bot.toLowerCase()),
	};
	row.words = [bot, row.name, ...row.aliases, row.owner, textOf(model.description), draft.get(bot, 'description')].join(' ').toLowerCase();
	return row;
}

/** Dollars per million input and output tokens, or per request or picture. */
export function priceOf(pricing) {
	if (!pricing) return null;
	const dollars = (value, times) => (Number.isFinite(parseFloat(value)) ? parseFloat(value) * times : null);
	const price = { input: dollars(pricing.prompt, 1e6), output: dollars(pricing.completion, 1e6),
		each: dollars(pricing.request, 1) ?? (pricing.prompt == null ? dollars(pricing.image, 1) : null) };
	return price.input == null && price.output == null && price.each == null ? null : price;
}

/** A price with its units; `t` translates. Points per request, at Poe's price of a point, are its title. */
export function priceText(price, t) {
	if (!price) return '–';
	const digits = (value) => (value < 1 || Number.isInteger(value) ? String(value) : value.toFixed(2));
	const dollars = (value) => (value == null ? '–' : `$${digits(Number(value.toPrecision(3)))}`);
	if (price.input == null && price.output == null) return price.each ? t('priceEach', { price: dollars(price.each) }) : t('priceFree');
	return t('priceTokens', { input: dollars(price.input), output: dollars(price.output) });
}

const POINT = 0.00003;
export const pointsText = (price, t) => (price?.each ? t('pricePoints', { n: Math.ceil(price.each / POINT) })
	: price?.input != null ? t('pricePointsTokens', { input: Math.round(price.input / POINT / 1000), output: Math.round((price.output ?? 0) / POINT / 1000) }) : null);

export const FILTERS = {
	enabled: (row) => row.enabled,
	disabled: (row) => !row.enabled,
	mapped: (row) => row.mapped || row.aliases.length > 0,
	custom: (row) => row.custom || row.removed,
	replace: (row) => row.replace,
	preset: (row) => row.preset,
	tools: (row) => row.tools,
	web: (row) => row.search,
	sees: (row) => row.inputs.includes('image'),
	paints: (row) => row.outputs.includes('image'),
	video: (row) => row.outputs.includes('video'),
	sound: (row) => row.outputs.includes('audio'),
	changed: (row) => row.changed,
	favourite: (row) => row.favourite,
};

/** Free and unpriced models do not lead the order by price. */
const cost = (row) => row.price?.input || row.price?.each || 1e9;

export const ORDERS = {
	name: (one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }),
	owner: (one, other) => one.owner.localeCompare(other.owner, 'en'),
	created: (one, other) => other.created - one.created,
	context: (one, other) => (other.context ?? 0) - (one.context ?? 0),
	price: (one, other) => cost(one) - cost(other),
};

export function pick(rows, { words = '', filters = [], order = 'name' }) {
	const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
	return rows
		.filter((row) => wanted.every((word) => row.words.includes(word)) && filters.every((name) => FILTERS[name](row)))
		.sort(ORDERS.name).sort(ORDERS[order]).sort((one, other) => other.favourite - one.favourite);
}

/** Groups by owner, in the order of their first rows or by name; favourites are a group of their own, without a name, and the first. */
export function grouped(rows, byName) {
	const groups = new Map();
	for (const row of rows) {
		const name = row.favourite ? '' : row.owner;
		if (!groups.has(name)) groups.set(name, []);
		groups.get(name).push(row);
	}
	const list = [...groups];
	return byName ? list.sort(([one], [other]) => one.localeCompare(other, 'en')) : list;
}
