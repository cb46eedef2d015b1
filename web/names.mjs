// Short names for the properties of src/ in the minified bundles, and the search for names that gzip makes little of.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const file = "names.json"; // the names that the last search found
const letters = [..."tesihnralocudfmpgwbyvxkSTEAMLRICNOPDBFHUGWVKYjzqXZQJ"]; // first those that words have most
const digits = [..."0123456789"];

/** How terser names variables: in a fixed order, so that they do not depend on the names of properties. */
export const variables = {
  get(n) {
    let name = letters[n % letters.length];
    const all = letters.concat(digits);
    for (n = Math.floor(n / letters.length); n > 0; n = Math.floor(n / all.length)) name += all[--n % all.length];
    return name;
  },
};

/**
 * Returns an object with a short name for each of properties, none of which is in taken: the name in names.json or, if
 * there is none, one that is free. text is a bundle with all of them: the most frequent ones get one letter.
 */
export function shortNames(properties, taken, text) {
  const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const count = new Map(properties.map((p) => [p, 0]));
  for (const [word] of text.matchAll(/[A-Za-z]\w*/g)) if (count.has(word)) count.set(word, count.get(word) + 1);
  const order = [...count].sort(([p, a], [q, b]) => b - a || (p < q ? -1 : 1)).map(([p]) => p);
  const used = new Set(taken);
  const names = {};
  for (const p of order) {
    if (!kept[p] || used.has(kept[p])) continue;
    names[p] = kept[p];
    used.add(kept[p]);
  }
  const short = letters.concat(letters.flatMap((second) => letters.slice(0, 16).map((first) => first + second)));
  const free = short.filter((name) => !used.has(name) && !/^(as|do|if|in|is|of)$/.test(name));
  for (const p of order) names[p] ??= free.shift();
  return names;
}

/**
 * Looks for names with which the bundles are smaller, for some seconds, and writes names.json. bundles are functions
 * that return a bundle's text, given the names. Names only change places, and the same search finds the same names.
 */
export async function search(names, bundles, seconds) {
  const properties = Object.keys(names).sort();
  let best = properties.map((p) => names[p]);
  // As long as the names, or the bundles would differ in more than those.
  const mark = (i) => String.fromCodePoint(0x4e01 + i) + (best[i].length > 1 ? "\u4e00" : "");
  const marks = Object.fromEntries(properties.map((p, i) => [p, mark(i)]));
  const texts = [];
  for (const bundle of bundles) texts.push(await bundle(marks));
  const pattern = /([\u4e01-\u9fff])\u4e00?/g;
  const size = (all) =>
    texts.reduce((sum, text) => {
      const named = text.replace(pattern, (_, c) => all[c.codePointAt(0) - 0x4e01]);
      return sum + gzipSync(named, { level: 9 }).length;
    }, 0);
  let least = size(best);
  let seed = 1;
  // https://en.wikipedia.org/wiki/Lehmer_random_number_generator
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; ) {
    const [i, j] = [random(best.length), random(best.length)];
    if (i === j || best[i].length !== best[j].length) continue;
    const other = [...best];
    [other[i], other[j]] = [best[j], best[i]];
    const n = size(other);
    if (n > least) continue;
    best = other;
    least = n;
  }
  const found = Object.fromEntries(properties.map((p, i) => [p, best[i]]));
  writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
  return found;
}
