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
/**
 * Parses a target. Throws InvalidEvent, whose message has no password, if it is invalid.
 *
 * @param {Target} target
 * @returns {Address}
 */
export declare function addressOf(target: Target): Address;
