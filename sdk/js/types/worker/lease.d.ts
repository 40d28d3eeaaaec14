import type { Connection } from "./connection.js";
export type Held = {
    renew(leaseMs: number): Promise<void>;
};
/** @typedef {{ renew(leaseMs: number): Promise<void> }} Held renews the lease in the job's state */
/**
 * Renews the lease of one run in the background, for as long as somebody holds the run.
 *
 * Its timer does not keep the process alive. Redis may be unavailable for longer than the lease: the service gives
 * workers the time to come back.
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
     * Enters the run into the index of leases, or its next renewal. Done before the start, so that a worker that dies right
     * after it is missed as well.
     */
    announce(): Promise<any>;
    /** Renews it from now on. @param {{ deref(): Held | undefined }} held */
    keep(held: {
        deref(): Held | undefined;
    }): void;
    /** Renews it no longer: it expires unless the run has ended. */
    stop(): void;
    /** Takes the run out of the index, for it has ended; the service would do so as well. */
    end(): void;
}
/** The leases of the runs of one `Jobs`; a length of null: there are none. */
export declare class Leases {
    #private;
    lengthMs: number | null;
    /** @param {Connection} connection @param {number | null} lengthMs */
    constructor(connection: Connection, lengthMs: number | null);
    /** The lease of a run that is about to start. @param {string} jobId @param {string} run */
    ofRun(jobId: string, run: string): Lease | null;
    /** Renews none of them any longer. */
    close(): void;
}
