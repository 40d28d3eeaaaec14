/**
 * What something that was thrown tells the viewers of the job: a message, and a code if it has one that is a string.
 * It may be of any kind, and so may what its own code throws. Nothing here throws: the job has to fail all the same.
 *
 * @param {unknown} error
 * @returns {[message: string, code: string | null]}
 */
export declare function describe(error: unknown): [message: string, code: string | null];
/**
 * What any job has room for: a message that is cut, and the code unless it is long.
 *
 * @param {string} message
 * @param {string | null} code
 * @returns {[message: string, code: string | null]}
 */
export declare function brief(message: string, code: string | null): [message: string, code: string | null];
/** What was thrown, an error if that is only a text: `Run.fail` takes a text for the caller's own. @param {unknown} thrown */
export declare function asError(thrown: unknown): unknown;
/** The text of what was thrown, or the name of its class if it has none. @param {unknown} error */
export declare function textOf(error: unknown): string;
/** The name of the class of what was thrown. @param {any} error */
export declare function nameOf(error: any): string;
/** Its code, null if that is no string. @param {any} error */
export declare function codeOf(error: any): string | null;
