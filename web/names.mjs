// Short names for the properties of src/ in the minified bundles, and the search for names that gzip makes little of.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const file = "names.json"; // what the last search has found
const letters = "tesihnralocudfmpgwbyvxkSTEAMLRICNOPDBFHUGWVKYjzqXZQJ"; // first those that words have most
const short = [...letters, ...[...letters].flatMap((second) => [...letters].map((first) => first + second))];
const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { variables: letters, properties: {} };

/**
 * How terser names variables: with letters, in a fixed order, so that the names do not depend on those of properties.
 */
export const variables = (letters = kept.variables) => ({
  get(n) {
    let name = letters[n % letters.length];
    const all = `${letters}0123456789`;
    for (n = Math.floor(n / letters.length); n > 0; n = Math.floor(n / all.length)) name += all[--n % all.length];
    return name;
  },
});

/**
 * Returns an object with a short name for each of properties: the name in names.json or, if that does not fit, one that
 * does. taken are the names that are not ours. neighbours is a map: the short names of two neighbours differ. text is a
 * bundle with all of them: the most frequent ones get the first letters.
 */
export function shortNames(properties, taken, neighbours, text) {
  const count = new Map(properties.map((p) => [p, 0]));
  for (const [word] of text.matchAll(/[A-Za-z]\w*/g)) if (count.has(word)) count.set(word, count.get(word) + 1);
  const order = [...count].sort(([p, a], [q, b]) => b - a || (p < q ? -1 : 1)).map(([p]) => p);
  const names = {};
  // The one letter names of src/ stay as they are.
  const fits = (p, name) => ![...(neighbours.get(p) ?? [])].some((q) => (names[q] ?? q) === name);
  for (const p of order) {
    const name = kept.properties[p];
    if (name && !taken.has(name) && fits(p, name)) names[p] = name;
  }
  for (const p of order) names[p] ??= short.find((name) => !taken.has(name) && fits(p, name));
  return names;
}

/**
 * Looks for names with which the bundles are smaller, for some seconds, and writes names.json. bundles are functions
 * that return the text of a bundle, given the names of properties and the letters of variables.
 */
export async function search(names, neighbours, bundles, seconds) {
  const properties = Object.keys(names).sort();
  const index = new Map(properties.map((p, i) => [p, i]));
  const near = properties.map((p) => [...(neighbours.get(p) ?? [])].map((q) => index.get(q) ?? q));
  const fits = (all, i) => !near[i]?.some((q) => (typeof q === "string" ? q : all[q]) === all[i]);
  // Instead of names the text has marks, which are replaced in each step: first those of properties, then those of letters.
  const count = properties.length;
  const marks = Array.from({ length: count + letters.length }, (_, i) => String.fromCodePoint(0x4e01 + i));
  const marked = Object.fromEntries(properties.map((p, i) => [p, marks[i]]));
  const texts = [];
  for (const bundle of bundles) texts.push(await bundle(marked, marks.slice(count).join("")));
  const size = (all) =>
    texts.reduce((sum, text) => {
      const named = text.replace(/[\u4e01-\u9fff]/g, (c) => all[c.codePointAt(0) - 0x4e01]);
      return sum + gzipSync(named, { level: 9 }).length;
    }, 0);
  let best = [...properties.map((p) => names[p]), ...kept.variables];
  let least = size(best);
  let seed = 1;
  // https://en.wikipedia.org/wiki/Lehmer_random_number_generator
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; ) {
    const [i, j] = [random(best.length), random(best.length)];
    const other = [...best];
    if (i >= count !== j >= count) continue; // a property and a letter
    if (i >= count || random(2)) [other[i], other[j]] = [best[j], best[i]];
    else other[i] = short[random(letters.length)];
    if (other[i] === best[i] || !fits(other, i) || !fits(other, j)) continue;
    const n = size(other);
    if (n > least) continue;
    best = other;
    least = n;
  }
  const found = Object.fromEntries(properties.map((p, i) => [p, best[i]]));
  writeFileSync(file, `${JSON.stringify({ variables: best.slice(count).join(""), properties: found }, null, 2)}\n`);
}
