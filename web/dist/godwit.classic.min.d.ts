// Made by build.mjs from src/.

declare const godwit: typeof import("./godwit.js") & { types: typeof import("./godwit.types.js") };
