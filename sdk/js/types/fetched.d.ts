/**
 * Reads a stream by fetch, which hears events of any name and can go on after those of an earlier stream.
 *
 * @type {Open}
 */
export declare function openFetched(o: import("./types.js").Options, _names: string[], hear: import("./types.js").Hear, lose: import("./types.js").Lose, lastId: string): Promise<import("./types.js").Source>;
