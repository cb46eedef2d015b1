// The constants that the engine in Go has, too: tests of its packages read the same file.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CloseCode } from "../src/close";
import { type Status } from "../src/error";
import { defaults } from "../src/link";
import { type Fate } from "../src/queue";
import { type DropReason } from "../src/stats";
import { controlChannel, directions, full, modes } from "../src/table";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const shared = JSON.parse(read("../../internal/conform/constants.json"));

/** The modules of src/ by the section that has their constants. */
const sections: Record<string, string[]> = {
  channel: ["ack", "congestion", "frame", "loss", "mux", "outbox", "packet", "path", "queue", "reassembly", "sent", "table"],
  session: ["conn", "control", "seeker", "session"],
  client: ["connect", "deferred", "race", "signaling"],
};

// What the engine in Go does not have, or has in another form.
const own = {
  channel: [
    ...["ackSlack", "fallTurns", "maxRange", "slabSize", "stuckTurns", "tinyPacket"], // only in the browser
    ...["pieceUnsent", "pieceFlying", "pieceLost", "pieceAcked", "packetFlying", "packetAcked", "packetLost"], // states
  ],
  session: [
    "askEvery",
    "asleep",
    "closed",
    "fresh",
    "fullPause",
    "headTrips",
    "linked",
    "maxServing",
    "maxStrangers",
    "open",
    "patience",
  ],
  client: [],
};

test.each(Object.keys(sections))("the constants of %s", async (section) => {
  const found: Record<string, number> = {};
  for (const file of sections[section]!) {
    for (const [name, v] of Object.entries(await import(`../src/${file}.ts`))) if (typeof v === "number") found[name] = v;
  }
  if (section === "session") {
    found["grace"] = found["defaultGrace"]!;
    delete found["defaultGrace"];
  }
  for (const name of own[section as keyof typeof own]) delete found[name];
  expect(found).toEqual(shared[section]);
});

test("every constant number of these modules is shared, or is in the list of those that only the browser has", () => {
  for (const [section, files] of Object.entries(sections)) {
    const known = new Set([...Object.keys(shared[section]), ...own[section as keyof typeof own], "defaultGrace"]);
    for (const file of files) {
      for (const [, name] of read(`../src/${file}.ts`).matchAll(/^(?:export )?const (\w+)(?:: number)? = [\d(](?!.*=>)/gm)) {
        expect(known, `${file}.ts: ${name}`).toContain(name);
      }
    }
  }
});

test("the values that stand for what is not set", () => {
  const [unreliable, reliable] = [full({ name: "a", mode: "unreliable" }), full({ name: "a", mode: "reliable-ordered" })];
  expect({
    ...defaults,
    maxMessage: unreliable.maxMessage,
    maxMessageReliable: reliable.maxMessage,
    maxMessageControl: controlChannel.maxMessage,
    queueLimit: unreliable.queueLimit,
    queueLimitReliable: reliable.queueLimit,
    queueLimitControl: controlChannel.queueLimit,
    weight: unreliable.weight,
  }).toEqual(shared.defaults);
});

test("words: the compiler knows that these are all", () => {
  const drops: Record<DropReason, 0> = {
    malformed: 0,
    duplicate: 0,
    ack: 0,
    closed: 0,
    refused: 0,
    "unknown-channel": 0,
    direction: 0,
    kind: 0,
    "too-large": 0,
    mismatch: 0,
    window: 0,
    budget: 0,
    evicted: 0,
    aged: 0,
    "unknown-frame": 0,
    "stale-channel": 0,
    inflate: 0,
  };
  const fates: Record<Fate, 0> = { delivered: 0, lost: 0, expired: 0, replaced: 0, dropped: 0, abandoned: 0 };
  const statuses: Record<Status, 0> = {
    sending: 0,
    waiting: 0,
    responded: 0,
    acknowledged: 0,
    rejected: 0,
    "send-failed": 0,
    "response-lost": 0,
  };
  expect([drops, fates, statuses].map((o) => Object.keys(o))).toEqual([shared.drops, shared.fates, shared.statuses]);
  expect([modes, directions]).toEqual([shared.modes, shared.directions]);
  expect(CloseCode).toEqual(shared.closeCodes);
});

test("the sections are all that the file has", () => {
  const known = [...Object.keys(sections), "defaults", "closeCodes", "modes", "directions", "fates", "statuses", "drops"];
  expect(Object.keys(shared).sort()).toEqual(known.sort());
  expect(readdirSync(new URL("../src", import.meta.url))).toEqual(
    expect.arrayContaining(Object.values(sections).flatMap((files) => files.map((file) => `${file}.ts`))),
  );
});
