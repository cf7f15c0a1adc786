// A call with what Node brings along: `fetch` or `https`.
import https from 'node:https';

const headers = { Authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
const url = 'https://api.openai.com/v1/models';
const calls = {
  async fetch() {
    return (await fetch(url, { headers })).text();
  },
  https() {
    return new Promise((resolve, reject) => {
      https.get(url, { headers }, async (answer) => {
        let text = '';
        for await (const piece of answer.setEncoding('utf8')) text += piece;
        resolve(text);
      }).on('error', reject);
    });
  },
};
console.log(await calls[process.argv[2]]());
