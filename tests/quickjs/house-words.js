// A plugin in JavaScript: refuses questions with words that the operator lists, writes others in its own way, and signs the answers.
import * as config from 'cofferdam:hooks/config@0.2.0';
import { write } from 'cofferdam:hooks/log@0.2.0';

export const plugin = {
  describe() {
    return { name: 'house-words', version: '1.0.0', summary: 'Keeps to the words of the house.', settings: null };
  },
};

// A setting is JSON, and `null` if the operator wrote none.
const setting = (key, otherwise) => JSON.parse(config.get(key) ?? 'null') ?? otherwise;

const textOf = (message) => message.content.map((part) => (part.tag === 'text' ? part.val.text : '')).join('');

export const preHook = {
  onRequest(request) {
    const refused = setting('refused', []);
    const replaced = Object.entries(setting('replaced', {}));
    const edits = [];
    for (const [index, message] of request.messages.entries()) {
      if (message.role !== 'user') continue;
      const word = refused.find((word) => textOf(message).toLowerCase().includes(word));
      if (word !== undefined) {
        write('warn', `refused a question with "${word}"`);
        return { tag: 'reject', val: { status: 422, code: 'word_refused', message: `This house does not speak of "${word}".`, retryAfter: null } };
      }
      const content = message.content.map((part) => {
        if (part.tag !== 'text') return part;
        const text = replaced.reduce((text, [from, to]) => text.replaceAll(from, to), part.val.text);
        return { tag: 'text', val: { ...part.val, text } };
      });
      edits.push({ tag: 'replace', val: { index, message: { ...message, content } } });
    }
    const messages = edits.length > 0 ? { tag: 'edits', val: edits } : null;
    return { tag: 'proceed', val: { messages, metadata: [], target: null, model: null, params: [] } };
  },
};

export const postHook = {
  onReply(reply) {
    const signature = setting('signature', '');
    if (signature === '') return { tag: 'keep', val: [] };
    const messages = reply.choices.map(({ index, message }) => {
      const content = [...message.content, { tag: 'text', val: { text: signature, extra: [] } }];
      return { choice: index, message: { ...message, content } };
    });
    return { tag: 'replace', val: { messages, metadata: [] } };
  },
};
