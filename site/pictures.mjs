// The SVG pictures of pages. Alone, a picture follows the colours of the system. In a page it must follow the
// theme of the page, so its style is rewritten for that.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

const style = /<style>(.*?)<\/style>/gs;
const dark = /@media\s*\(prefers-color-scheme:\s*dark\)\s*\{((?:[^{}]*\{[^{}]*\})*)\s*\}/g;

/** picture returns the SVG of a file without its style, the class that stands for the style, and the style for it. */
export function picture(file) {
  const text = readFileSync(file, "utf8");
  const id = `picture-${basename(file, ".svg")}`;
  const rules = [...text.matchAll(style)].map((m) => m[1]).join("\n");
  const night = [...rules.matchAll(dark)].map((m) => m[1]).join("\n");
  const css = scoped(`.${id}`, rules.replace(dark, "")) + scoped(`.dark .${id}`, night);
  const html = text
    .replace(/<\?xml.*?\?>|<!--.*?-->/gs, "")
    .replace(style, "")
    .replace(/<title>.*?<\/title>/s, "")
    .trim();
  return { html, id, css };
}

/** scoped returns rules that hold only below an element. */
const scoped = (scope, rules) =>
  rules.replace(/([^{}]+)\{([^{}]*)\}/g, (_, selectors, body) =>
    `${selectors.split(",").map((s) => `${scope} ${s.trim()}`).join(",")}{${body}}\n`);
