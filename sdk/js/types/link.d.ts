/** @import { Address, Call, Connect, Hear, Open, Problem, ProblemOf, TokenOf } from "./types.js" */
import type { Hear, ProblemOf } from "./types.js";
/**
 * Coalesces calls of one function, because a refresh token may be valid once only. Fails if it never settles.
 *
 * @type {TokenOf}
 */
export declare function tokenOf(give: string | (() => string | null | undefined | Promise<string | null | undefined>) | null | undefined): Promise<string | null | undefined>;
/** @type {Address} */
export declare function address(o: import("./types.js").Options, call: string, query: object | undefined): Promise<URL>;
/** @type {ProblemOf} */
export declare const problemOf: ProblemOf;
/** @type {Call} */
export declare function call(o: import("./types.js").Options, name: string, method: string | undefined): Promise<{
    status: number;
    body: any;
    wait: number;
}>;
/** @type {Open} */
export declare function openStream(o: import("./types.js").Options, names: string[], hear: Hear, lose: import("./types.js").Lose, lastId: string): Promise<import("./types.js").Source>;
/** @type {Connect} */
export declare function connect(o: import("./types.js").WatchOptions & {
    [callback: `on${string}`]: ((data: any, event: import("./types.js").JobEvent) => void) | undefined;
} & {
    poll?: any;
}, names: string[], emit: (event: import("./types.js").JobEvent) => import("./types.js").JobState): {
    wake(): void;
    close(): void;
};
