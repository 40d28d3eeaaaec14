import type { Hear, Source } from "./types.js";
/**
 * Shares a stream with the other tabs of this origin: the one that holds the lock has it, and tells the others.
 *
 * The browser passes the lock on as soon as its holder closes, goes to another page or crashes.
 *
 * @type {Open}
 */
export declare function openShared(o: import("./types.js").Options, names: string[], hear: Hear, lose: import("./types.js").Lose, lastId: string): Promise<Source>;
