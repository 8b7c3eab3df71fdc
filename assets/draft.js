// Draft of models.yaml: saved state, edited state and the difference. No access to the page or the server.

export const DEFAULTS = {
	mapping: null, enable: true, replace_response: false, tools: 'auto', parameters: {}, description: null, aliases: [], reasoning: null, route: null,
};
export const FIELDS = Object.keys(DEFAULTS);

const clone = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

export function same(one, other) {
	if (one === other) return true;
	if (!one || !other || typeof one !== 'object' || typeof other !== 'object' || Array.isArray(one) !== Array.isArray(other)) return false;
	const names = Object.keys(one);
	return names.length === Object.keys(other).length && names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]));
}

/** Lower-case names of the file, cached until a name is added or removed. */
const indexes = new WeakMap();

function keyOf({ models }, bot) {
	if (!indexes.has(models)) indexes.set(models, new Map(Object.keys(models).map((key) => [key.toLowerCase(), key])));
	return indexes.get(models).get(bot.toLowerCase());
}

/** `default: off` in the file: only the bots that it names are enabled. A program may have written it as a boolean. */
const isOff = (config) => config.default === false || String(config.default).toLowerCase() === 'off';
const isListed = (config, bot) => keyOf(config, bot) !== undefined || !!customOf(config, bot);

const read = (config, bot, name) => {
	const key = keyOf(config, bot);
	if (name === 'enable' && isOff(config) && !isListed(config, bot)) return false;
	return (key === undefined ? null : config.models[key]?.[name]) ?? DEFAULTS[name];
};

function write(config, bot, name, value, original) {
	const key = keyOf(config, bot) ?? bot;
	// defineProperty: a bot may be called __proto__
	if (!Object.hasOwn(config.models, key)) {
		// where an entry alone enables a bot, it has to say if it does not
		const value = isOff(config) && !isListed(config, bot) && name !== 'enable' ? { enable: false } : {};
		indexes.delete(config.models);
		Object.defineProperty(config.models, key, { value, enumerable: true, configurable: true, writable: true });
	}
	const entry = config.models[key] || (config.models[key] = {});
	const preset = name === 'enable' && isOff(config) ? undefined : DEFAULTS[name];
	const first = original && keyOf(original, bot);
	const stood = first !== undefined && original?.models[first]?.[name] !== undefined;
	if (same(value, preset) && !stood) delete entry[name];
	else entry[name] = clone(value);
	const isIdle = !Object.keys(entry).length || (isOff(config) && !customOf(config, bot) && same(entry, { enable: false }));
	if (isIdle && first === undefined) {
		indexes.delete(config.models);
		delete config.models[key];
	}
}

/** A custom model's id may be a number in the file. */
const named = (id) => (model) => String(model.id) === String(id);
const customOf = (config, id) => config.custom_models.find(named(id));

export const isEmpty = (config) => !Object.keys(config.models).length && !config.custom_models.length && !isOff(config);

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

	/** `sent`, an earlier copy, was saved: only changes made since remain. */
	kept(sent, version) {
		this.base = sent;
		this.version = version;
	}

	get(bot, name) { return read(this.now, bot, name); }
	/** The saved value; whether a bot was enabled by the mode that is chosen now. */
	was(bot, name) { return read({ ...this.base, default: this.now.default }, bot, name); }

	set(bot, name, value) { write(this.now, bot, name, value, this.base); }

	/** Whether the file is applied: the switch, else the saved value; a file without the value is applied from its first change on. */
	get applied() { return this.switched ?? (this.base.enable || (isEmpty(this.base) && !isEmpty(this.now))); }

	/** Whether only the bots that the file names are enabled. */
	get chosenOnly() { return isOff(this.now); }
	set chosenOnly(on) { this.now.default = on ? 'off' : isOff(this.base) ? 'on' : this.base.default; }

	isCustom(id) { return !!customOf(this.now, id); }
	wasCustom(id) { return !!customOf(this.base, id); }

	addCustom(model) {
		this.removeCustom(model.id);
		this.now.custom_models.push(clone(model));
	}

	removeCustom(id) { this.now.custom_models = this.now.custom_models.filter((model) => !named(id)(model)); }

	/** All differences: {bot, name, to} for a model, {custom, to} for a custom model, {applied} for the file. */
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
		if (isOff(this.now) !== isOff(this.base)) found.push({ chosenOnly: isOff(this.now) });
		if ((this.switched ?? this.base.enable) !== this.base.enable) found.push({ applied: this.switched });
		return found;
	}

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

	rebase(config) {
		const changes = this.changes();
		this.load(config);
		// the mode first: what it means to be enabled depends on it
		for (const change of changes.sort((one, other) => (other.chosenOnly !== undefined) - (one.chosenOnly !== undefined))) {
			if (change.bot !== undefined) write(this.now, change.bot, change.name, change.to, this.base);
			else if (change.custom !== undefined) change.to ? this.addCustom(change.to) : this.removeCustom(change.custom);
			else if (change.chosenOnly !== undefined) this.chosenOnly = change.chosenOnly;
			else this.switched = change.applied;
		}
	}
}
