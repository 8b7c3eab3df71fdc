// The current request as code, and settings for clients. No access to the page or the server.

const shell = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const json = (value, indent = 2) => JSON.stringify(value, null, indent);

/** JSON as a Python literal, indented as an argument of a call; strings are unchanged. */
const WORDS = { true: 'True', false: 'False', null: 'None' };
const python = (value) => json(value, 4).replace(/"([^"\\]+|\\.)*"|true|false|null/g, (word) => WORDS[word] ?? word).replaceAll('\n', '\n    ');

/** Replaces the long data of attached files by a placeholder. */
const brief = (value) => JSON.parse(JSON.stringify(value, (_, one) =>
	(typeof one === 'string' && one.startsWith('data:') && one.length > 200 ? `${one.slice(0, one.indexOf(',') + 1)}BASE64` : one)));

/** `origin` is this server's address, `request` a Chat Completions body, `facts` the model's entry in the list. */
export function snippets(origin, request, facts = {}) {
	const base = `${origin}/v1`;
	const body = brief(request);
	const { model } = body;
	const { poe, ...plain } = body;
	const entries = Object.entries(plain).filter(([name]) => name !== 'stream_options');
	const context = facts.context_length || 128000;
	const output = facts.max_output_tokens || Math.min(16384, context);
	const sees = (facts.input_modalities || []).includes('image');
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
		{ id: 'cline', label: 'Cline / Roo', where: 'settings', text:
`API Provider     OpenAI Compatible
Base URL         ${base}
API Key          KEY
Model ID         ${model}
Context Window   ${context}
Max Output       ${output}
Supports Images  ${sees ? 'on' : 'off'}` },
		{ id: 'codex', label: 'Codex', where: '~/.codex/config.toml', text:
`model = ${json(model)}
model_provider = "poe2openai"
model_context_window = ${context}

[model_providers.poe2openai]
name = "poe2openai"
base_url = ${json(base)}
env_key = "POE2OPENAI_KEY"
wire_api = "responses"` },
		{ id: 'claude', label: 'Claude Code', where: 'shell', text:
`export ANTHROPIC_BASE_URL=${shell(origin)}
export ANTHROPIC_AUTH_TOKEN=KEY
export ANTHROPIC_MODEL=${shell(model)}
${['OPUS', 'SONNET', 'HAIKU'].map((kind) => `export ANTHROPIC_DEFAULT_${kind}_MODEL=${shell(model)}\n`).join('')}claude` },
		{ id: 'cherry', label: 'Cherry Studio', where: 'settings', text:
`Provider Type  OpenAI
API Host       ${origin}
API Key        KEY
Model ID       ${model}` },
		{ id: 'webui', label: 'Open WebUI', where: 'docker', text:
`docker run -d -p 3000:8080 --add-host=host.docker.internal:host-gateway \\
  -e OPENAI_API_BASE_URL=${shell(base.replace(/\/\/(localhost|127\.0\.0\.1|\[::1\])(?=[:/])/, '//host.docker.internal'))} \\
  -e OPENAI_API_KEY=KEY \\
  -v open-webui:/app/backend/data --name open-webui ghcr.io/open-webui/open-webui:main` },
		{ id: 'aider', label: 'aider', where: 'shell', text:
`export OPENAI_API_BASE=${shell(base)}
export OPENAI_API_KEY=KEY
aider --model ${shell(`openai/${model}`)}` },
	];
}
