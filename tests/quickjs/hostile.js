// Does what the question says, which no plugin should.
export const preHook = {
  onRequest(request) {
    const question = request.messages[0].content[0].val.text;
    switch (question) {
      case 'loop':
        for (;;);
      case 'hoard': {
        const hoard = [];
        for (;;) hoard.push('x'.repeat(100_000) + hoard.length);
      }
      case 'recurse': {
        const recurse = (n) => recurse(n + 1) + 1;
        return recurse(0);
      }
      case 'throw':
        throw new Error('no');
      case 'report':
        throw { tag: 'other', val: 'it is not the day for it' };
      case 'half a character':
        return { tag: 'respond', val: { role: 'assistant', content: [{ tag: 'text', val: { text: '\ud83d', extra: [] } }], toolCalls: [], extra: [] } };
      case 'nothing':
        return undefined;
      case 'backtrack':
        return /^(a+)+$/.test('a'.repeat(40) + 'b');
      default:
        return { tag: 'proceed', val: { messages: null, metadata: [], target: null, model: null, params: [] } };
    }
  },
};
