import { chromium } from "playwright-core";

// Nothing but the tests' own traffic may leave the browser.
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 10.99.*",
];

export async function launchChromium(executablePath) {
  const browser = await chromium.launch({ executablePath, args });
  const context = await browser.newContext();
  return {
    version: () => `Chromium ${browser.version()}`,
    newPage: () => context.newPage(),
    close: () => browser.close(),
  };
}
