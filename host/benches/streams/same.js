// Gives back what it gets, delta by delta, as a hook does that looks at each.
export const plugin = { describe: () => ({ name: 'NAME', version: '1.0.0', summary: 'Measures.' }) };

export const streamHook = {
  open: () => 'transform',
  push(deltas) {
    const out = [];
    for (const delta of deltas) out.push({ choice: delta.choice, piece: { tag: delta.piece.tag, val: delta.piece.val } });
    return { tag: 'emit', val: out };
  },
  close: () => ({ step: { tag: 'keep' }, metadata: [] }),
};
