/** @import { TokenOf } from "./types.js" */
/**
 * Coalesces calls of one function, because a refresh token may be valid once only. Fails if it never settles.
 *
 * @type {TokenOf}
 */
export declare function tokenOf(give: string | (() => string | null | undefined | Promise<string | null | undefined>) | null | undefined): Promise<string | null | undefined>;
