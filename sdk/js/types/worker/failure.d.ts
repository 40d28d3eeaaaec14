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
/** The text of what was thrown, or the name of its class if it has none. @param {unknown} error */
export declare function textOf(error: unknown): string;
