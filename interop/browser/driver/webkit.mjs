import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";

// WebKitGTK as Debian builds it has no WebRTC. WebKitWebDriver drives MiniBrowser, in W3C's protocol:
// https://www.w3.org/TR/webdriver2/. It tells nothing of the console. MiniBrowser needs an X server.

const port = "4445"; // nothing else listens in this namespace

export async function launchWebKit(executablePath) {
  const children = [];
  const start = (...args) => {
    const child = spawn(...args);
    children.push(child);
    return new Promise((resolve, reject) => child.once("error", reject).once("spawn", () => resolve(child)));
  };
  const end = () => children.reverse().forEach((child) => child.kill());
  try {
    const size = ["-screen", "0", "1280x900x24", "-nolisten", "tcp"];
    const x = await start("Xvfb", ["-displayfd", "3", ...size], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
    const [display] = await Promise.race([
      once(x.stdio[3], "data"),
      once(x, "exit").then(([code]) => Promise.reject(new Error(`Xvfb ends with ${code}`))),
    ]);
    const env = { ...process.env, DISPLAY: `:${`${display}`.trim()}` };
    await start(executablePath, ["--host=127.0.0.1", `--port=${port}`], { env, stdio: "ignore" });
    const session = await newSession();
    return {
      version: () => `WebKitGTK ${session.version}`,
      newPage: () => session.newPage(),
      close: async () => {
        await session.call("DELETE", "").catch(() => {});
        end();
      },
    };
  } catch (e) {
    end();
    throw e;
  }
}

async function newSession() {
  for (const stop = performance.now() + 20_000; ; await pause(50)) {
    try {
      const { sessionId, capabilities } = await command("POST", "/session", {
        capabilities: { alwaysMatch: { acceptInsecureCerts: true } },
      });
      return new Session(sessionId, capabilities.browserVersion);
    } catch (e) {
      if (!e.cause || performance.now() > stop) throw e; // with a cause: it does not listen yet
    }
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function command(method, path, body = {}) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    ...(method === "POST" && { body: JSON.stringify(body) }),
  });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
  return value;
}

class Session {
  constructor(id, version) {
    Object.assign(this, { id, version, first: true, queue: Promise.resolve() });
  }

  call(method, path, body) {
    return command(method, `/session/${this.id}${path}`, body);
  }

  // inside runs f with the window in front, when the calls before it are done: a session has one current window.
  inside(handle, f) {
    const result = this.queue.then(async () => {
      await this.call("POST", "/window", { handle });
      return f();
    });
    this.queue = result.catch(() => {});
    return result;
  }

  async newPage() {
    if (this.first) {
      this.first = false; // the window of the session stays, so that the session does
      this.home = await this.call("GET", "/window");
    }
    const opened = this.inside(this.home, () => this.call("POST", "/window/new", { type: "window" }));
    return new Page(this, (await opened).handle);
  }
}

// Page has the methods of a Puppeteer page that the driver uses.
class Page {
  constructor(session, handle) {
    Object.assign(this, { session, handle, evaluations: 0 });
  }

  on() {}

  goto(url) {
    return this.session.inside(this.handle, () => this.session.call("POST", "/url", { url }));
  }

  reload() {
    return this.session.inside(this.handle, () => this.session.call("POST", "/refresh"));
  }

  // evaluate begins f in the page and asks for its end, so that pages can run functions at the same time.
  async evaluate(f, arg) {
    const id = ++this.evaluations;
    const run = (script, ...args) =>
      this.session.inside(this.handle, () => this.session.call("POST", "/execute/sync", { script, args }));
    await run(
      `const ends = (globalThis.driverEnds ??= new Map());
       (${f})(arguments[1]).then(
         (value) => ends.set(arguments[0], { value }),
         (e) => ends.set(arguments[0], { error: String(e && e.message || e) }),
       );`,
      id,
      arg,
    );
    for (;;) {
      const end = await run(
        `const ends = globalThis.driverEnds;
         if (!ends) return { error: "the page was loaded again" };
         const end = ends.get(arguments[0]);
         ends.delete(arguments[0]);
         return end ?? null;`,
        id,
      );
      if (end?.error) throw new Error(end.error);
      if (end) return end.value;
      await pause(20);
    }
  }

  async screenshot({ path }) {
    const image = await this.session.inside(this.handle, () => this.session.call("GET", "/screenshot"));
    await writeFile(path, Buffer.from(image, "base64"));
  }

  close() {
    return this.session.inside(this.handle, () => this.session.call("DELETE", "/window"));
  }
}
