// Which files of the repository are pages of the site, and the order of its menus.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The directory of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The repository, for links to files that are no pages. */
export const repository = "https://github.com/godwit-rtc/godwit";

/** The menus: a group has a title and pages. A page is [title, file in the repository]. */
export const menus = [
  {
    title: "Guide",
    pages: [
      ["Start in fifteen minutes", "docs/guide/start.md"],
      ["Channels", "docs/guide/channels.md"],
      ["The game loop", "docs/guide/loop.md"],
      ["Links, and where UDP fails", "docs/guide/links.md"],
      ["Deploying", "docs/guide/deploy.md"],
      ["From another library", "docs/guide/migrate.md"],
    ],
  },
  {
    title: "Reference",
    pages: [
      ["Browser client", "web/README.md"],
      ["In a Web Worker", "docs/worker.md"],
      ["A new game", "docs/new.md"],
      ["Godot 4", "docs/godot.md"],
      ["Typed messages", "docs/typed.md"],
      ["Format of typed messages", "docs/messages.md"],
      ["Codecs", "docs/codecs.md"],
      ["Games with a tick", "docs/game.md"],
      ["Invites", "docs/invites.md"],
      ["Features", "docs/features.md"],
      ["Changes", "CHANGELOG.md"],
    ],
  },
  {
    title: "Operations",
    pages: [
      ["Operations", "docs/operations.md"],
      ["Recipes for hosts", "deploy/README.md"],
      ["godwit-doctor", "docs/doctor.md"],
      ["Relay", "docs/relay.md"],
      ["Fleet", "docs/fleet.md"],
      ["Scale", "docs/scale.md"],
      ["Security", "docs/security.md"],
    ],
  },
  {
    title: "Measurements",
    pages: [
      ["Benchmarks", "docs/benchmarks.md"],
      ["Reliability", "docs/reliability.md"],
    ],
  },
  {
    title: "The wire",
    pages: [
      ["For implementers", "docs/wire.md"],
      ["Channels: PROTOCOL", "docs/PROTOCOL.md"],
      ["Sessions: SESSION", "docs/SESSION.md"],
      ["SNAP", "docs/snap.md"],
    ],
  },
  {
    title: "The code",
    pages: [
      ["Map", "ARCHITECTURE.md"],
      ["Decisions", "docs/decisions.md"],
      ["Contributing", "CONTRIBUTING.md"],
      ["Releasing", "docs/releasing.md"],
    ],
  },
];

// What docs/ has besides comes last, with its heading as the title.
const listed = new Set(menus.flatMap((menu) => menu.pages.map(([, file]) => file)));
const others = readdirSync(join(root, "docs"), { recursive: true })
  .map((name) => `docs/${name.replaceAll("\\", "/")}`)
  .filter((file) => file.endsWith(".md") && !listed.has(file))
  .sort();
if (others.length > 0) {
  const title = (file) => /^# (.*)$/m.exec(readFileSync(join(root, file), "utf8"))?.[1] ?? file;
  menus.push({ title: "More", pages: others.map((file) => [title(file), file]) });
}

/** The name of each page in the site, by its file in the repository: docs/guide/start.md is guide/start.md. */
export const pages = new Map(
  menus.flatMap((menu) => menu.pages).map(([, file]) => [file, place(file)]),
);

function place(file) {
  if (file === "web/README.md") return "client.md";
  if (file.endsWith("/README.md")) return `${file.slice(0, -"/README.md".length)}.md`;
  return file.replace(/^docs\//, "").toLowerCase();
}
