/** @import { Reading } from "./types.js" */
/** @type {Reading} */
export declare function reading(waiting: any[], readers: Set<any>, closed: Promise<any>): AsyncGenerator<any, void, any>;
