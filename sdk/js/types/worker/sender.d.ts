import type { Answer, Append } from "./append.js";
import type { Connection } from "./connection.js";
import type { Answered } from "./outbox.js";
import type { Limits } from "./settings.js";
/** @import { Answer, Append } from "./append.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Answered } from "./outbox.js" */
/** @import { Limits } from "./settings.js" */
/** Appends the events of one run: in order, each exactly once, one in flight at a time. */
export declare class Sender {
    #private;
    attempt: number | null;
    /** The run token, null before the start. @type {string | null} */
    token: string | null;
    /** The task that sends the buffered events, null if there are none. @type {Promise<void> | null} */
    sending: Promise<void> | null;
    /**
     * @param {Connection} connection
     * @param {string} jobId
     * @param {number | null} attempt
     * @param {Senders} senders the senders that have buffered events
     */
    constructor(connection: Connection, jobId: string, attempt: number | null, senders: Senders);
    get senders(): Senders;
    /** Whether the run's end is still buffered. */
    get hasEnd(): boolean;
    /**
     * Starts the run. The start is not buffered, because the caller needs the answer.
     *
     * `announce` is called before each try. Throws the error of the last try if Redis is unavailable for `blockS`
     * seconds.
     *
     * @param {string} token
     * @param {Append} event
     * @param {() => Promise<unknown>} announce
     */
    start(token: string, event: Append, announce: () => Promise<unknown>): Promise<Answer>;
    /**
     * Appends an event and returns the answer.
     *
     * null if Redis was unavailable for `blockS` seconds: the event stays in the outbox, and is written when Redis is
     * available again. `answered` is called when it was written. `otherwise` is a smaller event that replaces it if it is
     * too large for the job. Throws the refusal, BufferFull, or an error of Redis that is not temporary.
     *
     * @param {Append} event
     * @param {Answered} answered
     * @param {Append | null} [otherwise]
     * @returns {Promise<Answer | null>}
     */
    send(event: Append, answered: Answered, otherwise?: Append | null): Promise<Answer | null>;
    /** Renews the lease of the run, and returns whether the job was asked to stop. @param {Append} event */
    renew(event: Append): Promise<boolean>;
    /** Drops the buffered events. */
    abandon(): void;
}
/** The senders of one `Jobs` that have buffered events, and their limits. */
export declare class Senders {
    #private;
    limits: Limits;
    /** Functions that send the progress that runs hold back. @type {Set<() => Promise<unknown>>} */
    unsent: Set<() => Promise<unknown>>;
    /** @param {Limits} limits */
    constructor(limits: Limits);
    /** Adds a sender that has buffered events. @param {Sender} sender */
    add(sender: Sender): void;
    /** Removes a sender that has none any more. @param {Sender} sender */
    discard(sender: Sender): void;
    /** Waits up to `blockS` seconds for buffered events to be written, then drops those of runs that have not ended. */
    close(): Promise<void>;
    /**
     * Closes the connection, if it was opened again after `close` and nothing is buffered any more.
     *
     * @param {Connection} connection
     */
    closeIfOver(connection: Connection): void;
}
