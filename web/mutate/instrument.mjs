// Finds the changes that can be made to a file of src/, and writes all of them into its text, each behind its number.
// The twin of ci/mutate/instrument.go.
import { parseSync } from "vite";

const bounds = { "<": "<=", "<=": "<", ">": ">=", ">=": ">" };
const neutral = { "&&": "true", "||": "false", "??": "undefined" };
const dropped = new Set([
  "CallExpression",
  "AssignmentExpression",
  "UpdateExpression",
  "AwaitExpression",
  "YieldExpression",
  "LogicalExpression",
  "ChainExpression",
]);
const expressionsOfTypes = new Set([
  "TSNonNullExpression",
  "TSAsExpression",
  "TSSatisfiesExpression",
  "TSTypeAssertion",
  "TSParameterProperty",
  "TSInstantiationExpression",
]);
const loops = new Set(["ForStatement", "ForOfStatement", "ForInStatement", "WhileStatement", "DoWhileStatement"]);
const functions = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);
const zeros = {
  TSNumberKeyword: "0",
  TSBooleanKeyword: "false",
  TSTypePredicate: "false",
  TSStringKeyword: '""',
  TSBigIntKeyword: "0n",
  TSVoidKeyword: "void",
};

/**
 * Returns the mutants of a file, whose numbers begin with first, and its text with all of them. mark has the text note
 * which ones are reached, too. Every loop and every function spends of a budget, so that an endless loop ends.
 */
export function instrument(name, code, first, mark = false) {
  const { program, errors } = parseSync(name, code);
  if (errors.length) throw new Error(`${name}: ${errors[0].message}`);
  const mutants = [];
  const inserts = [];
  const spend = "--$budget[0]<0&&$budget.stop();";
  let next = first;
  let fn = ""; // the function around
  let type = "undefined"; // what it returns
  const mutable = /\bsrc\//.test(name);

  const text = (n) => code.slice(n.start, n.end);
  const line = (n) =>
    text(n)
      .replace(/\/\/.*$/gm, "")
      .replace(/\s+/g, " ");
  const brief = (n) => {
    const t = text(n).replace(/\s+/g, " ");
    return t.length > 90 ? `${t.slice(0, 87)}...` : t;
  };
  const insert = (at, after, s) => inserts.push({ at, after, s, order: inserts.length });
  const wrap = (n, before, after) => {
    insert(n.start, false, before);
    if (after) insert(n.end, true, after);
  };
  /** The expression that holds if the change is to be made; undefined outside functions and in what is no source. */
  const mutant = (n, what) => {
    const id = next++;
    mutants.push({ id, file: name.replace(/^.*src\//, "src/"), line: code.slice(0, n.start).split("\n").length, fn, text: what });
    return mark ? `$mutant.hit(${id})` : `$mutant[0]===${id}`;
  };

  function condition(n) {
    wrap(n, "(!!(", `)!==(${mutant(n, `not (${brief(n)})`)}))`);
  }

  function drop(n) {
    wrap(n, `{if(!(${mutant(n, `without ${brief(n)}`)})){`, "}}");
  }

  function replace(n) {
    let value = type;
    if (value === "void") {
      if (n.type !== "Identifier") wrap(n, `(${mutant(n, `without ${brief(n)}`)}?void 0:(`, "))");
      return;
    }
    if (value === "undefined") {
      if (n.type === "Literal") value = { number: "0", boolean: "false", string: '""' }[typeof n.value] ?? value;
      else if (n.type === "BinaryExpression" && /[<>=!]/.test(n.operator)) value = "false";
      else if (n.type === "UnaryExpression" && n.operator === "!") value = "false";
    }
    const same = text(n);
    if (same === value || (value === "undefined" && same === "null")) {
      if (value === "undefined" || value === '""') return;
      value = value === "false" ? "true" : "1";
    }
    wrap(n, `(${mutant(n, `${value} for ${brief(n)}`)}?${value}:(`, "))");
  }

  /** Leaves out properties of an object literal. */
  function fields(n) {
    for (const p of n.properties) {
      if (p.type === "SpreadElement") {
        wrap(p.argument, `(${mutant(p, `without fields of ${brief(p.argument)} in {…}`)}?null:(`, "))");
      } else if (p.kind === "init" && text(p.value) !== "undefined") {
        wrap(p, `...(${mutant(p, `without field ${brief(p.key)} in {…}`)}?null:{`, "})");
      }
    }
  }

  function statement(n) {
    if (!n) return;
    if (n.type === "ExpressionStatement") {
      let e = n.expression;
      if (e.type === "UnaryExpression" && e.operator === "void") e = e.argument;
      const call = e.type === "CallExpression" && e.callee.type === "Super";
      if ((dropped.has(e.type) || (e.type === "UnaryExpression" && e.operator === "delete")) && !call) drop(n);
    } else if (n.type === "BreakStatement" || n.type === "ContinueStatement") drop(n);
    else if (n.type === "ReturnStatement" && n.argument) replace(n.argument);
  }

  /** The nodes in n, in a function or not, from the outside in. */
  function walk(n, parent) {
    if (!n || typeof n.type !== "string") return;
    if (n.type.startsWith("TS") && !expressionsOfTypes.has(n.type)) return;
    const before = [fn, type];
    if (n.type === "ClassDeclaration") fn = n.id.name;
    if (functions.has(n.type)) {
      if (!n.body) return;
      fn = named(n, parent);
      const declared = n.returnType?.typeAnnotation;
      type = declared ? (zeros[declared.type] ?? "undefined") : "undefined";
      if (n.async && declared?.typeArguments?.params[0]?.type === "TSVoidKeyword") type = "void";
      if (n.body.type === "BlockStatement") insert(n.body.start + 1, true, spend);
      else if (mutable) replace(n.body);
    }
    if (loops.has(n.type)) {
      if (n.body.type === "BlockStatement") insert(n.body.start + 1, true, spend);
      else wrap(n.body, `{${spend}`, "}");
    }
    if (mutable && fn && !/^[A-Z]\w*$/.test(fn)) changes(n);
    for (const [key, v] of Object.entries(n)) {
      if (
        key === "type" ||
        key === "returnType" ||
        key === "typeAnnotation" ||
        key === "typeParameters" ||
        key === "typeArguments"
      )
        continue;
      if (Array.isArray(v)) for (const c of v) walk(c, n);
      else if (v && typeof v === "object") walk(v, n);
    }
    [fn, type] = before;
  }

  function named(n, parent) {
    const own = n.id?.name ?? (parent?.type === "VariableDeclarator" && parent.id.name);
    if (own) return fn ? `${fn}.${own}` : own;
    if (
      parent?.key &&
      (parent.type === "MethodDefinition" ||
        parent.type === "PropertyDefinition" ||
        (parent.type === "Property" && parent.method) ||
        (parent.type === "Property" && n.type === "ArrowFunctionExpression"))
    ) {
      return `${fn ? `${fn}.` : ""}${text(parent.key)}`;
    }
    return fn || "module";
  }

  function changes(n) {
    switch (n.type) {
      case "BlockStatement":
        n.body.forEach(statement);
        break;
      case "SwitchCase":
        n.consequent.forEach(statement);
        break;
      case "IfStatement":
        condition(n.test);
        statement(n.consequent);
        statement(n.alternate);
        break;
      case "ConditionalExpression":
        condition(n.test);
        break;
      case "ForOfStatement":
      case "ForInStatement":
        statement(n.body);
        break;
      case "ForStatement":
      case "WhileStatement":
      case "DoWhileStatement":
        if (n.test) condition(n.test);
        statement(n.body);
        break;
      case "LogicalExpression": {
        const value = neutral[n.operator];
        for (const x of [n.left, n.right]) {
          if (x.type === "LogicalExpression" && x.operator === n.operator) continue; // its operands are changed one by one
          if (text(x) === value || (n.operator === "??" && x.type === "Literal" && x.value === null)) continue;
          wrap(x, `(${mutant(x, `${brief(x)} is ${value} in ${brief(n)}`)}?${value}:(`, "))");
        }
        break;
      }
      case "ObjectExpression":
        fields(n);
        break;
      case "BinaryExpression": {
        const op = bounds[n.operator];
        if (!op) break;
        wrap(n, `(${mutant(n, `${brief(n)} has ${op}`)}?(${line(n.left)})${op}(${line(n.right)}):(`, "))");
      }
    }
  }

  walk(program);
  inserts.sort((a, b) => a.at - b.at || b.after - a.after || (a.after ? rank(a, b) : a.order - b.order));
  let out = "";
  let last = 0;
  for (const { at, s } of inserts) {
    out += code.slice(last, at) + s;
    last = at;
  }
  return { mutants, code: `const $mutant=globalThis.$mutant,$budget=globalThis.$budget;${out}${code.slice(last)}` };

  // What closes comes in the order opposite to what opens, and after it a budget that follows a brace.
  function rank(a, b) {
    if (a.s === spend || b.s === spend) return (a.s === spend) - (b.s === spend);
    return b.order - a.order;
  }
}
