// How a worker of run.mjs runs vitest: one process, in which src/ has all its mutants, and runner.mjs in place of
// vitest's own order of tests.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { instrument } from "./instrument.mjs";
import { sources } from "./run.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const texts = sources(process.env.GODWIT_MARK === "1");

export default defineConfig({
  root,
  plugins: [
    {
      name: "mutants",
      enforce: "pre",
      transform(code, id) {
        const file = id.startsWith(root) && id.slice(root.length);
        if (/^src\/\w+\.ts$/.test(file)) return { code: texts.get(file).code, map: null };
        if (/^test\/\w+\.ts$/.test(file)) return { code: instrument(file, code, 0).code, map: null };
        return;
      },
    },
  ],
  test: {
    include: ["mutate/all.test.ts"],
    runner: "./mutate/runner.mjs",
    pool: "forks",
    maxWorkers: 1,
    isolate: false,
    testTimeout: 1e9,
    reporters: [],
    dangerouslyIgnoreUnhandledErrors: true,
  },
});
