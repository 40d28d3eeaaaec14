/**
 * The message and code that viewers of the job get for a thrown value; the code is null unless it is a string. Does not
 * throw, whatever the value is and whatever its own methods throw, so that the job can always be failed.
 *
 * @param {unknown} error
 * @returns {[message: string, code: string | null]}
 */
export declare function describe(error: unknown): [message: string, code: string | null];
/**
 * Shortens message and code to what any job has room for: cuts the message, and drops a long code.
 *
 * @param {string} message
 * @param {string | null} code
 * @returns {[message: string, code: string | null]}
 */
export declare function brief(message: string, code: string | null): [message: string, code: string | null];
/**
 * What was thrown; a string becomes an Error, because `Run.fail` takes a string for the caller's own message.
 *
 * @param {unknown} thrown
 */
export declare function asError(thrown: unknown): unknown;
/** The message of what was thrown, or the name of its class if it has none. @param {unknown} error */
export declare function textOf(error: unknown): string;
/** The name of the class of what was thrown. @param {any} error */
export declare function nameOf(error: any): string;
/** The code of what was thrown; null unless it is a string. @param {any} error */
export declare function codeOf(error: any): string | null;
