// What the example leaves to its author: it asks a service, whose address the operator sets and whose key the host puts in.
import { get } from 'cofferdam:hooks/config@0.2.0';

export async function detectAndTranslate(text) {
  const response = await fetch(JSON.parse(get('url')), {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer {{secret:TRANSLATOR_KEY}}' },
    body: JSON.stringify({ text }),
  });
  if (!response.ok) throw new Error(`no translation: ${response.status}`);
  return await response.json();
}
