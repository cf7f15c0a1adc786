// A call with the anthropic SDK: no address, proxy or certificate is named.
import Anthropic from '@anthropic-ai/sdk';

const stream = process.argv[2] === 'stream';
const messages = [{ role: 'user', content: 'Say hello.' }];
const answer = await new Anthropic().messages.create({ model: 'claude-test', max_tokens: 64, messages, stream });
if (stream) {
  for await (const { type, delta } of answer) {
    if (type === 'content_block_delta') console.log(JSON.stringify(delta.text));
  }
} else {
  console.log(JSON.stringify(answer.content[0].text));
}
