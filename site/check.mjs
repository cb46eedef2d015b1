// Checks a built site: each link inside has a page, each anchor an element, and no page loads anything from
// another host.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** check returns what is wrong with the site in a directory, and how much it has looked at. */
export function check(dir, base) {
  const files = readdirSync(dir, { recursive: true });
  const pages = files.filter((name) => name.endsWith(".html"));
  const texts = new Map(pages.map((name) => [name, readFileSync(join(dir, name), "utf8")]));
  const ids = new Map([...texts].map(([name, text]) => [name, new Set(all(text, /\sid="([^"]*)"/g))]));
  const complaints = [];
  const counts = { pages: pages.length, links: 0, anchors: 0 };

  for (const [name, text] of texts) {
    for (const url of all(text, /<(?:link|script|img|iframe|source|video)\b[^>]*?\s(?:src|href)="([^"]*)"/g)) {
      if (foreign(url)) complaints.push(`${name}: loads ${url}`);
      else if (url.startsWith(base) && !existsSync(join(dir, url.slice(base.length)))) complaints.push(`${name}: ${url} is missing`);
    }
    for (const link of all(text, /<a\b[^>]*?\shref="([^"]*)"/g)) {
      if (/^[a-z]+:/i.test(link)) continue;
      counts.links++;
      const [path, anchor] = link.split("#");
      const to = path === "" ? name : resolve(name, path, base);
      if (to === undefined || !ids.has(to)) {
        complaints.push(`${name}: no page for ${link}`);
      } else if (anchor) {
        counts.anchors++;
        if (!ids.get(to).has(decodeURIComponent(anchor))) complaints.push(`${name}: no anchor for ${link}`);
      }
    }
  }
  for (const name of files.filter((f) => f.endsWith(".css"))) {
    const text = readFileSync(join(dir, name), "utf8");
    for (const url of all(text, /(?:url\(|@import\s*)["']?([^"')]+)/g)) if (foreign(url)) complaints.push(`${name}: loads ${url}`);
  }
  return { complaints, counts };
}

const all = (text, pattern) => [...text.matchAll(pattern)].map((m) => m[1].replaceAll("&amp;", "&"));
const foreign = (url) => /^(https?:)?\/\//.test(url);

/** resolve returns the file of a link that is in another file. */
function resolve(name, path, base) {
  const full = path.startsWith("/") ? path : posix.join(base, posix.dirname(name), path);
  if (!full.startsWith(base)) return undefined;
  const file = full.slice(base.length);
  if (file === "" || file.endsWith("/")) return `${file}index.html`;
  return file.endsWith(".html") ? file : `${file}.html`;
}
