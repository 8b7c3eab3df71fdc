// What models.yaml says, what is to become of it, and the difference. Pure: no page, no server.

const DEFAULTS = {
	mapping: null, enable: true, replace_response: false, tools: 'auto', parameters: {}, description: null, aliases: [], reasoning: null, route: null,
};
export const FIELDS = Object.keys(DEFAULTS);

const clone = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

/** Equal as JSON, whatever the order of keys. */
export function same(one, other) {
	if (one === other) return true;
	if (!one || !other || typeof one !== 'object' || typeof other !== 'object' || Array.isArray(one) !== Array.isArray(other)) return false;
	const names = Object.keys(one);
	return names.length === Object.keys(other).length && names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]));
}

/** The file's names in lower case, until one comes or goes. */
const indexes = new WeakMap();

/** The key under which the file names a bot, in whatever case. */
function keyOf({ models }, bot) {
	if (!indexes.has(models)) indexes.set(models, new Map(Object.keys(models).map((key) => [key.toLowerCase(), key])));
	return indexes.get(models).get(bot.toLowerCase());
}

const read = (config, bot, name) => {
	const key = keyOf(config, bot);
	return (key === undefined ? null : config.models[key]?.[name]) ?? DEFAULTS[name];
};

function write(config, bot, name, value, original) {
	const key = keyOf(config, bot) ?? bot;
	// defineProperty: a bot may be called __proto__
	if (!Object.hasOwn(config.models, key)) {
		indexes.delete(config.models);
		Object.defineProperty(config.models, key, { value: {}, enumerable: true, configurable: true, writable: true });
	}
	const entry = config.models[key] || (config.models[key] = {});
	const first = original && keyOf(original, bot);
	const stood = first !== undefined && original?.models[first]?.[name] !== undefined;
	if (same(value, DEFAULTS[name]) && !stood) delete entry[name];
	else entry[name] = clone(value);
	if (!Object.keys(entry).length && first === undefined) {
		indexes.delete(config.models);
		delete config.models[key];
	}
}

/** A custom model's id may stand in the file as a number. */
const named = (id) => (model) => String(model.id) === String(id);
const customOf = (config, id) => config.custom_models.find(named(id));

export const isEmpty = ({ models, custom_models: custom }) => !Object.keys(models).length && !custom.length;

export class Draft {
	constructor() {
		this.load({});
	}

	load(config) {
		const { version, ...rest } = config;
		this.version = version;
		this.base = { enable: false, ...rest, models: rest.models || {}, custom_models: rest.custom_models || [] };
		this.undoAll();
	}

	copy() { return { ...clone(this.now), enable: this.applied }; }

	/** The file has become `sent`, a copy of before: what was changed since is what is left. */
	kept(sent, version) {
		this.base = sent;
		this.version = version;
	}

	get(bot, name) { return read(this.now, bot, name); }
	was(bot, name) { return read(this.base, bot, name); }

	set(bot, name, value) { write(this.now, bot, name, value, this.base); }

	/** Whether the file is to count: as the switch says; else as it did, and one that said nothing begins to with its first change. */
	get applied() { return this.switched ?? (this.base.enable || (isEmpty(this.base) && !isEmpty(this.now))); }

	isCustom(id) { return !!customOf(this.now, id); }
	wasCustom(id) { return !!customOf(this.base, id); }

	addCustom(model) {
		this.removeCustom(model.id);
		this.now.custom_models.push(clone(model));
	}

	removeCustom(id) { this.now.custom_models = this.now.custom_models.filter((model) => !named(id)(model)); }

	/** Every difference: {bot, name, to} of a model, {custom, to} of a custom model, {applied} of the whole file. */
	changes() {
		const found = [];
		const bots = new Map([...Object.keys(this.base.models), ...Object.keys(this.now.models)].map((bot) => [bot.toLowerCase(), bot]));
		for (const bot of bots.values()) {
			for (const name of FIELDS) {
				const to = this.get(bot, name);
				if (!same(this.was(bot, name), to)) found.push({ bot, name, to });
			}
		}
		for (const id of new Set([...this.base.custom_models, ...this.now.custom_models].map((model) => String(model.id)))) {
			const to = customOf(this.now, id) || null;
			if (!same(customOf(this.base, id) || null, to)) found.push({ custom: id, to });
		}
		if ((this.switched ?? this.base.enable) !== this.base.enable) found.push({ applied: this.switched });
		return found;
	}

	/** The bots concerned, in lower case. */
	changed() {
		return new Set(this.changes().map((change) => (change.bot ?? change.custom)?.toLowerCase()).filter(Boolean));
	}

	undo(bot) {
		for (const change of this.changes()) {
			if ((change.bot ?? change.custom)?.toLowerCase() !== bot.toLowerCase()) continue;
			if (change.bot !== undefined) write(this.now, change.bot, change.name, this.was(change.bot, change.name), this.base);
			else this.removeCustom(change.custom);
			const custom = change.custom !== undefined && customOf(this.base, change.custom);
			if (custom) this.now.custom_models.push(clone(custom));
		}
	}

	undoAll() {
		this.now = clone(this.base);
		this.switched = null;
	}

	/** The same changes on top of what somebody else saved meanwhile. */
	rebase(config) {
		const changes = this.changes();
		this.load(config);
		for (const change of changes) {
			if (change.bot !== undefined) write(this.now, change.bot, change.name, change.to, this.base);
			else if (change.custom !== undefined) change.to ? this.addCustom(change.to) : this.removeCustom(change.custom);
			else this.switched = change.applied;
		}
	}
}
