import type { Answer, Append } from "./append.js";
import type { Connection } from "./connection.js";
import type { Answered } from "./outbox.js";
import type { Limits } from "./settings.js";
/** @import { Answer, Append } from "./append.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Answered } from "./outbox.js" */
/** @import { Limits } from "./settings.js" */
/** Appends the events of one run: in order, each exactly once, one under way at a time. */
export declare class Sender {
    #private;
    attempt: number | null;
    /** What names the run, null before its start. @type {string | null} */
    token: string | null;
    /** The task that sends what waits, null when nothing does. @type {Promise<void> | null} */
    sending: Promise<void> | null;
    /**
     * @param {Connection} connection
     * @param {string} jobId
     * @param {number | null} attempt
     * @param {Senders} senders those that have such a task
     */
    constructor(connection: Connection, jobId: string, attempt: number | null, senders: Senders);
    get senders(): Senders;
    /** Whether the run's end waits to be written. */
    get hasEnd(): boolean;
    /**
     * Starts the run; the event that does so is not buffered, for the caller needs the answer.
     *
     * `announce` is called before each try. Throws what the last try threw when Redis is unavailable for longer than a
     * call may wait.
     *
     * @param {string} token
     * @param {Append} event
     * @param {() => Promise<unknown>} announce
     */
    start(token: string, event: Append, announce: () => Promise<unknown>): Promise<Answer>;
    /**
     * Appends an event and returns the answer.
     *
     * null when Redis was unavailable for as long as a call may wait: the event is in the outbox, and is written when Redis
     * is back. `answered` is called when it was written. `otherwise` is a smaller event that takes its place if the job
     * allows none of its size. Throws the refusal, BufferFull, and an error of Redis that does not pass by itself.
     *
     * @param {Append} event
     * @param {Answered} answered
     * @param {Append | null} [otherwise]
     * @returns {Promise<Answer | null>}
     */
    send(event: Append, answered: Answered, otherwise?: Append | null): Promise<Answer | null>;
    /** Renews the lease of the run, and says whether the job was asked to stop. @param {Append} event */
    renew(event: Append): Promise<boolean>;
    /** Gives up all that waits. */
    abandon(): void;
}
/** The senders of one `Jobs` that have events to send, and what bounds them. */
export declare class Senders {
    #private;
    limits: Limits;
    /** What sends the progress of runs that waits for its time. @type {Set<() => Promise<unknown>>} */
    unsent: Set<() => Promise<unknown>>;
    /** @param {Limits} limits */
    constructor(limits: Limits);
    /** Holds on to a sender until what waits there was written. @param {Sender} sender */
    add(sender: Sender): void;
    /** Lets go of a sender with which nothing waits. @param {Sender} sender */
    discard(sender: Sender): void;
    /** Waits for what waits, as long as a call may; then gives up all but the ends of runs. */
    close(): Promise<void>;
    /** Closes the connection that was opened once more for what came after `close`. @param {Connection} connection */
    closeIfOver(connection: Connection): void;
}
