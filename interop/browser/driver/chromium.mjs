import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

// Nothing but the tests' own traffic may leave the browser.
const args = (pin) => [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 10.99.*, EXCLUDE 11.99.*",
  `--ignore-certificate-errors-spki-list=${pin}`,
];

// launchChromium accepts the certificate with the pin.
export async function launchChromium(executablePath, pin, more = []) {
  const browser = await chromium.launch({ executablePath, args: [...args(pin), ...more] });
  const context = await browser.newContext();
  return {
    version: () => `Chromium ${browser.version()}`,
    newPage: () => context.newPage(),
    close: () => browser.close(),
  };
}

// Playwright makes every page believe that it is in front. Puppeteer does not, without these.
const ignoreDefaultArgs = [
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

export async function launchOwnChromium(executablePath, pin, more) {
  const browser = await puppeteer.launch({ executablePath, args: [...args(pin), ...more], ignoreDefaultArgs });
  const version = await browser.version();
  return {
    version: () => version,
    newPage: () => browser.newPage(),
    close: () => browser.close(),
  };
}
