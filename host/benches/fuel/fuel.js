export const plugin = { describe() { return { name: 'NAME', version: '1.0.0', summary: 'Measures.' }; } };
const email = /[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z]+/g;
const card = /[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}/g;
export const preHook = {
  onRequest(request) {
    let emails = 0, cards = 0, words = 0;
    for (const message of request.messages) {
      const text = message.content.filter((part) => part.tag === 'text').map((part) => part.val.text).join('').toLowerCase();
      emails += (text.match(email) ?? []).length;
      cards += (text.match(card) ?? []).length;
      words += text.split(' ').length;
    }
    const part = { tag: 'text', val: { text: `${emails} ${cards} ${words}`, extra: [] } };
    return { tag: 'respond', val: { role: 'assistant', content: [part], toolCalls: [], extra: [] } };
  },
};
