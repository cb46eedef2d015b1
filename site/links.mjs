// Links of pages: what is a page of the site stays a link inside; other files of the repository are links to
// its host. A link to a file that does not exist is an error.

import { existsSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { pages, repository, root } from "./pages.mjs";
import { picture } from "./pictures.mjs";

const sources = new Map([...pages].map(([file, page]) => [page, file]));

/** slug returns the anchor of a heading. It is the one that GitHub makes, so links work in both places. */
export const slug = (title) =>
  title
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-");

/** file returns the file of the repository that a link of a page names, or undefined if the link is another one. */
function file(page, link) {
  const source = sources.get(page);
  if (!source || /^([a-z]+:|#|\/)/i.test(link)) return undefined;
  return posix.join(posix.dirname(source), link.split("#")[0]).replace(/\/$/, "");
}

/** target returns the link of a page for a link of its file. */
export function target(page, link) {
  const name = file(page, link);
  if (name === undefined) return link;
  const to = pages.get(name) ?? pages.get(`${name}/README.md`);
  const hash = link.includes("#") ? `#${link.split("#")[1]}` : "";
  if (to) {
    const relative = posix.relative(posix.dirname(page), to);
    return (relative.startsWith(".") ? relative : `./${relative}`) + hash;
  }
  const there = join(root, name);
  if (name.startsWith("..") || !existsSync(there)) throw new Error(`${page}: ${link} is no file of the repository`);
  return `${repository}/${statSync(there).isDirectory() ? "tree" : "blob"}/main/${name}${hash}`;
}

/** A plugin of markdown-it that sets the links, and puts SVG pictures into the page, where they follow its theme. */
export function links(md) {
  md.core.ruler.push("godwit-links", ({ tokens, env }) => {
    for (const token of tokens) {
      if (token.type === "code_block") Object.assign(token, { type: "fence", info: "go", tag: "code" }); // of Go comments
    }
    const inline = tokens.filter((t) => t.type === "inline").flatMap((t) => t.children);
    for (const token of inline) {
      if (token.type === "link_open") token.attrSet("href", target(env.relativePath, token.attrGet("href")));
    }
  });
  const image = md.renderer.rules.image;
  md.renderer.rules.image = (tokens, i, options, env, self) => {
    const src = tokens[i].attrGet("src");
    const name = file(env.relativePath, src);
    if (!name?.endsWith(".svg")) return image(tokens, i, options, env, self);
    const { html, id } = picture(join(root, name));
    return `<span class="picture ${id}" v-pre role="img" aria-label="${md.utils.escapeHtml(tokens[i].content)}">${html}</span>`;
  };
}
