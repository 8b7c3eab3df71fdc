// The current request as code. No access to the page or the server.

const shell = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const json = (value, indent = 2) => JSON.stringify(value, null, indent);

/** JSON as a Python literal, indented as an argument of a call; strings are unchanged. */
const WORDS = { true: 'True', false: 'False', null: 'None' };
const python = (value) => json(value, 4).replace(/"([^"\\]+|\\.)*"|true|false|null/g, (word) => WORDS[word] ?? word).replaceAll('\n', '\n    ');

/** Replaces the long data of attached files by a placeholder. */
const brief = (value) => JSON.parse(JSON.stringify(value, (_, one) =>
	(typeof one === 'string' && one.startsWith('data:') && one.length > 200 ? `${one.slice(0, one.indexOf(',') + 1)}BASE64` : one)));

/** `origin` is this server's address, `request` a Chat Completions body. */
export function snippets(origin, request) {
	const base = `${origin}/v1`;
	const body = brief(request);
	const { poe, ...plain } = body;
	const entries = Object.entries(plain).filter(([name]) => name !== 'stream_options');
	return [
		{ id: 'curl', label: 'curl', text:
`curl -N ${shell(`${base}/chat/completions`)} \\
  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d ${shell(json(body))}` },
		{ id: 'python', label: 'Python', where: 'pip install openai', text:
`from openai import OpenAI

client = OpenAI(base_url=${json(base)}, api_key="KEY")
answer = client.chat.completions.create(
${entries.map(([name, value]) => `    ${name}=${python(value)},`).join('\n')}${poe ? `\n    extra_body=${python({ poe })},` : ''}
)
for chunk in answer:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)` },
		{ id: 'node', label: 'Node', where: 'npm install openai', text:
`import OpenAI from 'openai';

const client = new OpenAI({ baseURL: ${json(base)}, apiKey: 'KEY' });
const answer = await client.chat.completions.create(${json(Object.fromEntries([...entries, ...(poe ? [['poe', poe]] : [])]))});
for await (const chunk of answer) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
}` },
	];
}
