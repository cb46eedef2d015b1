// Which properties one object may have: their short names must differ, and those of others need not.
import { readdirSync, readFileSync } from "node:fs";
import { minify } from "terser";

/**
 * Returns a map from each property to the set of those that an object may have besides it. js is a bundle with the
 * names of src/. An object has the properties of a class and of the classes below it, of an interface and of those
 * below it, or of an object literal; a function may take an object apart with a pattern.
 */
export async function neighbours(js) {
  const shapes = [...(await ofValues(js)), ...ofTypes()];
  const map = new Map();
  for (const shape of shapes) {
    for (const p of shape) {
      if (!map.has(p)) map.set(p, new Set());
      for (const q of shape) if (p !== q) map.get(p).add(q);
    }
  }
  return map;
}

/** The shapes of the classes, object literals and patterns of a bundle. */
async function ofValues(js) {
  const format = { ast: true, code: false, spidermonkey: true };
  const { ast } = await minify(js, { module: true, compress: false, mangle: false, format });
  const classes = new Map(); // name to its shape and the name of the class below it
  const shapes = [];
  const names = (members) => members.flatMap(({ key, computed }) => (key && !computed ? [key.name] : []));
  const walk = (node, self) => {
    if (Array.isArray(node)) for (const n of node) walk(n, self);
    if (Array.isArray(node) || !node || typeof node !== "object") return;
    let own = self;
    if (/^Class(Declaration|Expression)$/.test(node.type)) {
      own = new Set(names(node.body.body));
      classes.set(node.id?.name ?? own, [own, node.superClass?.name]);
    }
    if (/^Object(Expression|Pattern)$/.test(node.type)) shapes.push(new Set(names(node.properties)));
    if (node.type === "MemberExpression" && node.object.type === "ThisExpression" && !node.computed) own?.add(node.property.name);
    for (const child of Object.values(node)) walk(child, own);
  };
  walk(ast);
  return [...shapes, ...whole(classes)];
}

/** The shapes of the classes, interfaces and other types of src/, which Biome has formatted. */
function ofTypes() {
  const types = new Map();
  const shapes = [];
  for (const file of readdirSync("src")) {
    const text = readFileSync(`src/${file}`, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    const blocks = /^(?:export )?(?:class|interface) (\w+)(?:<.*?>)?(?: extends (\w+).*?)? \{\n([\s\S]*?)^\}/gm;
    for (const [, name, below, body] of text.matchAll(blocks)) {
      const [own] = types.get(name) ?? [new Set()];
      types.set(name, [own, below ?? types.get(name)?.[1]]);
      // Members, and parameters of the constructor that are members.
      const members =
        /^ {2}(?:(?:private|readonly|override|async|get|set) |\*)*(\w+)|^ {4}(?:private |public |readonly )+(\w+)/gm;
      for (const [, member, parameter] of body.matchAll(members)) own.add(member ?? parameter);
    }
    for (const [, body] of text.matchAll(/\{ ((?:readonly )?\w+\??: [^{}]*)\}/g)) {
      shapes.push(new Set([...body.matchAll(/(?:^|[;,] )(?:readonly )?(\w+)\??:/g)].map(([, name]) => name)));
    }
  }
  return [...shapes, ...whole(types)];
}

/** The shapes of a map, each with what it has from those below it. */
function whole(map) {
  const all = (name) => (map.has(name) ? [...map.get(name)[0], ...all(map.get(name)[1])] : []);
  return [...map.keys()].map((name) => new Set(all(name)));
}
