// Runs all stories of the admin page in Chromium against the real server and its demo Poe.
//
//     node run.mjs SERVER NODE_MODULES [CHROMIUM]
//
// UPDATE=1 also writes the screenshots in docs/.

import { check, done } from "./harness.mjs";
import { stories as chat } from "./chat.mjs";
import { stories as connect } from "./connect.mjs";
import { stories as keys } from "./keys.mjs";
import { stories as models } from "./models.mjs";
import { stories as overview } from "./overview.mjs";
import { stories as rest } from "./rest.mjs";
import { pictures } from "./pictures.mjs";

for (const [name, story] of [...overview, ...models, ...chat, ...keys, ...connect, ...rest]) await check(name, story);
if (process.env.UPDATE) await check("pictures for docs/", pictures);
await done();
