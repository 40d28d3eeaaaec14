import { Cluster, Redis } from "ioredis";
import type { RedisOptions } from "ioredis";
export type Client = Redis | Cluster;
export type Target = string | URL | Client | (RedisOptions & {
    url?: string;
});
export type Address = {
    open: (own: RedisOptions) => Client;
    timeoutS: number;
};
/** How Redis is reached; InvalidEvent, without a password, if that can't be meant. @param {Target} target @returns {Address} */
export declare function addressOf(target: Target): Address;
