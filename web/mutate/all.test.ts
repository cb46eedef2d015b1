// All test files as one, for runner.mjs.
import { describe } from "vitest";

for (const [file, load] of Object.entries(
  import.meta.glob(["../test/*.test.ts", "!../test/go.test.ts", "!../test/server.test.ts"]),
)) {
  describe(file.slice("../test/".length), async () => void (await load()));
}
