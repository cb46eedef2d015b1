import puppeteer from "puppeteer-core";

const preferences = {
  // Only the traffic of the tests may leave the browser. Where the browser runs no name can
  // be resolved, and a query would delay its end by 5 s.
  "network.dns.disabled": true,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  // Latencies to 20 µs instead of 1 ms.
  "privacy.reduceTimerPrecision": false,
};

// A tab in the background keeps its timers: two tabs send at their full rate.
const everyPageInFront = {
  "dom.min_background_timeout_value": 4,
  "dom.min_background_timeout_value_without_budget_throttling": 4,
  "dom.timeout.enable_budget_timer_throttling": false,
};

export const launchFirefox = (path) => launch(path, { ...preferences, ...everyPageInFront });
export const launchOwnFirefox = (path) => launch(path, preferences);

async function launch(executablePath, extraPrefsFirefox) {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    extraPrefsFirefox,
    acceptInsecureCerts: true, // a test's certificate is its own
  });
  const version = await browser.version();
  return {
    version: () => version,
    newPage: () => browser.newPage(),
    close: () => browser.close(),
  };
}
