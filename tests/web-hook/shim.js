// Runs a function of the form `export default { fetch }` as it is: what it calls by a free name is put there, and the engine's event becomes its call.
import { detectAndTranslate } from './translate.js';
import app from 'user-module';

globalThis.detectAndTranslate = detectAndTranslate;

addEventListener('fetch', (event) => {
  const context = { waitUntil: (promise) => event.waitUntil(promise), passThroughOnException() {} };
  const answer = async () => {
    try {
      return await app.fetch(event.request, {}, context);
    } catch (error) {
      return Response.json({ error: { message: String(error) } }, { status: 500 });
    }
  };
  event.respondWith(answer());
});
