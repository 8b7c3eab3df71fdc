// Every story of the admin page, told by a real Chromium against the real server and its demo Poe.
//
//     node run.mjs SERVER NODE_MODULES [CHROMIUM]
//
// With UPDATE=1 the pictures in docs/ are made anew.

import { check, done } from "./house.mjs";
import { stories as models } from "./models.mjs";
import { stories as rest } from "./rest.mjs";
import { pictures } from "./pictures.mjs";

for (const [name, story] of [...models, ...rest]) await check(name, story);
if (process.env.UPDATE) await check("pictures for docs/", pictures);
await done();
