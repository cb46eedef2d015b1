import { defineConfig } from "vitepress";
import { links, slug } from "../links.mjs";
import { menus, pages, repository } from "../pages.mjs";

const sidebar = menus.map(({ title, pages: list }) => ({
  text: title,
  collapsed: false,
  items: list.map(([text, file]) => ({ text, link: `/${pages.get(file).replace(/\.md$/, "")}` })),
}));

export default defineConfig({
  title: "godwit",
  description: "UDP for the browser, in Go",
  base: process.env.SITE_BASE ?? "/godwit/",
  srcDir: ".pages",
  cleanUrls: false,
  lastUpdated: false,
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: {
    anchor: { slugify: slug },
    config: links,
    languageAlias: { caddyfile: "nginx" },
  },
  themeConfig: {
    nav: [
      { text: "Guide", link: "/guide/start" },
      { text: "Reference", link: "/client" },
      { text: "Go", link: "/api/go/" },
      { text: "TypeScript", link: "/api/js/" },
    ],
    sidebar: [
      ...sidebar,
      { text: "API", items: [{ text: "Go packages", link: "/api/go/" }, { text: "TypeScript", link: "/api/js/" }] },
    ],
    outline: { level: [2, 3] },
    search: { provider: "local" },
    socialLinks: [{ icon: "github", link: repository }],
    externalLinkIcon: false,
  },
});
