// Gets all addresses in a file with `fetch`; what came is printed as JSON, a line each, its bytes as latin-1.
import { readFileSync } from 'node:fs';

const headers = { Authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
for (const url of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
  const answer = await fetch(url, { headers });
  if (!answer.ok) throw new Error(`${answer.status} ${url}`);
  console.log(JSON.stringify(Buffer.from(await answer.arrayBuffer()).toString('latin1')));
}
