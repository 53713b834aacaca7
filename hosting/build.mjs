// Bundles the pages into dist/: one script and one stylesheet a page, and the pages themselves.
import { build } from "esbuild";
import { cpSync, mkdirSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
await build({
  entryPoints: { dashboard: "src/dashboard.js", profile: "src/profile.js", style: "src/style.css" },
  bundle: true,
  minify: true,
  splitting: true, // what both pages use is loaded once
  format: "esm",
  target: ["chrome110", "firefox115", "safari16"],
  legalComments: "linked",
  outdir: "dist",
  logLevel: "warning",
});
for (const page of ["profile.html", "icon.svg", "index.html"]) cpSync(`src/${page}`, `dist/${page}`); // index.html last: it says that all is made
