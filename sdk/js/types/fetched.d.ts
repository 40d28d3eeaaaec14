/**
 * Reads a stream with fetch, which receives events of any name and can send a Last-Event-ID.
 *
 * @type {Open}
 */
export declare function open(o: import("./types.js").Options, _names: string[], hear: import("./types.js").Hear, lose: import("./types.js").Lose, lastId: string): Promise<import("./types.js").Source>;
