// A call with the openai SDK: no address, proxy or certificate is named.
import OpenAI from 'openai';

const stream = process.argv[2] === 'stream';
const messages = [{ role: 'user', content: 'Say hello.' }];
const answer = await new OpenAI().chat.completions.create({ model: 'gpt-test', messages, stream });
if (stream) {
  for await (const { choices } of answer) {
    if (choices[0].delta.content) console.log(JSON.stringify(choices[0].delta.content));
  }
} else {
  console.log(JSON.stringify(answer.choices[0].message.content));
}
