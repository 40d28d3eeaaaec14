import type { Hear, Source } from "./types.js";
/**
 * Shares a stream with the other tabs of this origin: the tab that holds the lock opens it and broadcasts its events.
 *
 * The browser passes the lock on as soon as that tab closes, navigates or crashes.
 *
 * @type {Open}
 */
export declare function open(options: import("./types.js").Options, names: string[], hear: Hear, lose: import("./types.js").Lose, lastId: string): Promise<Source>;
