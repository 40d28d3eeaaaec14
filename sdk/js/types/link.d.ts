/** @import * as T from "./types.js" */
import type * as T from "./types.js";
/** @type {T.Address} */
export declare function address(o: T.Options, call: string, query: object | undefined): Promise<URL>;
/** @type {T.Call} */
export declare function call(o: T.Options, name: string, method: string | undefined): Promise<{
    body?: any;
    problem: any;
    wait?: number;
}>;
/** @type {T.Open} */
export declare function openStream(o: T.Options, names: string[], hear: T.Hear, lose: T.Lose, lastId: string): Promise<T.Source>;
/** @type {T.Connect} */
export declare function connect(o: T.WatchOptions & {
    [callback: `on${string}`]: ((data: any, event: T.JobEvent) => void) | undefined;
} & {
    poll?: any;
}, names: string[], emit: (event: T.JobEvent) => T.JobState): {
    wake(): void;
    close(): void;
};
