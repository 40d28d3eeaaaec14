// The append script is the Python library's: a link in this repository, which npm leaves out of a package. So a copy
// takes its place while npm packs. Both are renamed into place, because tests read it meanwhile.
import { copyFileSync, renameSync, rmSync, symlinkSync } from "node:fs";

const TARGET = "../../python/src/jobcast/protocol/append.lua";
const LINK = new URL("worker/append.lua", import.meta.url);
const next = new URL(`worker/.append.${process.pid}.lua`, import.meta.url);

rmSync(next, { force: true });
if (process.argv[2] === "copy") copyFileSync(new URL(TARGET, LINK), next);
else symlinkSync(TARGET, next);
renameSync(next, LINK);
