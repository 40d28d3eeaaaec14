/** What the page calls the states of a job. */

/** One word for a row of the list of jobs, from a status object. */
export const statusWord = ({ status, error, errorCode }) =>
  status === "failed" && error === "Cancelled" && errorCode === null ? "cancelled" : status;

/** How the open job ended, if it did. A worker that was lost is a failure like any other here. */
export const ending = ({ outcome }) => (outcome === "stalled" ? "failed" : outcome);

/** The word of the list for the open job. */
export const liveWord = (job) => ending(job) ?? job.status;

/** Whether nobody knows how much there is to do, so that `progress` means nothing. */
export const isIndeterminate = ({ fields, outcome }) => fields.indeterminate === true && outcome === null;
