import type { Connection } from "./connection.js";
export type Held = {
    renew(leaseMs: number): Promise<void>;
};
/** @typedef {{ renew(leaseMs: number): Promise<void> }} Held renews the lease in the job's state */
/**
 * Renews the lease of one run in the background, for as long as something references the run.
 *
 * Its timer does not keep the process alive. Redis may be unavailable for longer than the lease: after an outage, the
 * service gives workers time to renew their leases.
 */
export declare class Lease {
    #private;
    /**
     * @param {Connection} connection
     * @param {string} jobId
     * @param {string} run
     * @param {number} lengthMs
     * @param {Set<Lease>} kept
     */
    constructor(connection: Connection, jobId: string, run: string, lengthMs: number, kept: Set<Lease>);
    /**
     * Adds the run to the index of leases, or updates its expiry there. Called before the start, so that the service also
     * detects a worker that dies right after the start.
     */
    announce(): Promise<any>;
    /** Starts to renew it. @param {{ deref(): Held | undefined }} held */
    keep(held: {
        deref(): Held | undefined;
    }): void;
    /** Stops renewing it: it expires unless the run has ended. */
    stop(): void;
    /** Removes the run from the index, because it has ended; the service would do so as well. */
    end(): void;
}
/** The leases of the runs of one `Jobs`; if their length is null, runs have none. */
export declare class Leases {
    #private;
    lengthMs: number | null;
    /** @param {Connection} connection @param {number | null} lengthMs */
    constructor(connection: Connection, lengthMs: number | null);
    /** The lease of a run that is about to start. @param {string} jobId @param {string} run */
    ofRun(jobId: string, run: string): Lease | null;
    /** Stops renewing all of them. */
    close(): void;
}
