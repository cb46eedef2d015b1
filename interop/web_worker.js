"use strict";
// The worker's half of the client's tests. It has the functions of web_page.js, and runs what the page sends.

globalThis.window = globalThis;
importScripts("web_page.js");

const AsyncFunction = (async () => {}).constructor;

addEventListener("message", async ({ data: { id, js, arg } }) => {
  try {
    postMessage({ id, value: await new AsyncFunction("arg", js)(arg) });
  } catch (e) {
    postMessage({ id, error: `${e.name}: ${e.message} ${e.code ?? ""}\n${e.stack}` });
  }
});
