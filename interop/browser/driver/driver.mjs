// Drives one real browser for the Go tests: a JSON line on stdin is an order, a
// JSON line on stdout is its answer or output of the browser.
//
//   order   {"id": 1, "do": "eval", "page": 1, "js": "return arg + 1", "arg": 1}
//   answer  {"id": 1, "value": 2} or {"id": 1, "error": "why"}
//   event   {"page": 1, "console": "error", "text": "what the page said"}
//
// At the end of stdin the driver closes the browser and exits.

import { createInterface } from "node:readline";
import { launchChromium, launchOwnChromium } from "./chromium.mjs";
import { launchFirefox, launchOwnFirefox } from "./firefox.mjs";
import { launchWebKit } from "./webkit.mjs";

const launch = { chromium: launchChromium, firefox: launchFirefox, webkit: launchWebKit };
const launchOwn = { chromium: launchOwnChromium, firefox: launchOwnFirefox };

let browser;
const pages = new Map();
const inspectors = new Map(); // DevTools sessions of pages
let lastPage = 0;

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

// evaluate runs the body of an async function in the page. The result crosses as
// JSON text, so that both browsers return the same values.
function evaluate(page, js, arg) {
  return page.evaluate(
    async ([body, json]) => {
      const AsyncFunction = (async () => {}).constructor;
      const value = await new AsyncFunction("arg", body)(JSON.parse(json));
      return JSON.stringify(value === undefined ? null : value);
    },
    [js, JSON.stringify(arg ?? null)],
  );
}

function pageOf(order) {
  const page = pages.get(order.page);
  if (!page) throw new Error(`no page ${order.page}`);
  return page;
}

// alone calls f when the calls before it are done: Firefox cannot open a tab while it closes another.
let done = Promise.resolve();

function alone(f) {
  const result = done.then(f);
  done = result.catch(() => {});
  return result;
}

const orders = {
  async launch({ browser: name, path, own, pin, args = [] }) {
    browser = await (own ? launchOwn : launch)[name](path, pin, args);
    return browser.version();
  },
  // Pages of one context share cookies and storage, as tabs do.
  async open({ url }) {
    const id = ++lastPage;
    const page = await alone(() => browser.newPage());
    pages.set(id, page);
    page.on("console", (m) => say({ page: id, console: m.type(), text: m.text() }));
    page.on("pageerror", (e) => say({ page: id, console: "uncaught", text: String(e) }));
    await page.goto(url);
    return id;
  },
  async eval(order) {
    return JSON.parse(await evaluate(pageOf(order), order.js, order.arg));
  },
  async reload(order) {
    await pageOf(order).reload();
  },
  async leave(order) {
    await pageOf(order).goto(order.url);
  },
  // A page from the browser's back/forward cache loads nothing to wait for.
  async back(order) {
    const page = pageOf(order);
    await page.evaluate(() => void setTimeout(() => history.back()));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await page.waitForFunction((path) => location.pathname === path, { polling: 100 }, order.path);
  },
  async hide(order) {
    const page = pageOf(order);
    await (await alone(() => browser.newPage())).bringToFront();
    await page.waitForFunction(() => document.hidden, { polling: 100 });
  },
  async inspect(order) {
    if (!inspectors.has(order.page)) inspectors.set(order.page, await pageOf(order).createCDPSession());
    return inspectors.get(order.page).send(order.method, order.arg ?? {});
  },
  async close(order) {
    const page = pageOf(order);
    pages.delete(order.page);
    await alone(() => page.close());
  },
  async screenshot(order) {
    await pageOf(order).screenshot({ path: order.path });
  },
};

async function obey(order) {
  try {
    const value = await orders[order.do](order);
    say({ id: order.id, value: value ?? null });
  } catch (e) {
    say({ id: order.id, error: String(e?.message ?? e) });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => obey(JSON.parse(line)));
lines.on("close", async () => {
  await browser?.close();
  process.exit(0);
});
