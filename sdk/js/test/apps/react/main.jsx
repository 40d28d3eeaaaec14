import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { useJob, useJobs } from "jobcast/react";

const [session, ...ids] = location.hash.slice(1).split(",");

function Job({ id, enabled }) {
  const [ticks, setTicks] = useState(0);
  const job = useJob(id, { session, enabled, onTick: () => setTicks((count) => count + 1) });
  useEffect(() => () => (globalThis.changes = (globalThis.changes ?? 0) + 1), [job.cancel, job.retry, job.wake]);
  return (
    <section>
      <progress value={job.progress ?? 0} max="100" />
      <p data-testid="status">{job.outcome ?? job.status ?? "nothing"}</p>
      <p data-testid="connection">{job.connection}</p>
      <p data-testid="progress">{job.progress ?? "-"}</p>
      <p data-testid="ticks">{ticks}</p>
      <button onClick={job.cancel}>Cancel</button>
      <button onClick={job.retry}>Retry</button>
    </section>
  );
}

function List() {
  const jobs = useJobs({ mine: "active", session });
  return <p data-testid="list">{[...jobs.values()].map(({ outcome, progress }) => outcome ?? progress).join()}</p>;
}

function Some({ jobs }) {
  const states = useJobs({ jobs, session });
  (globalThis.sizes ??= []).push(states.size);
  return <p data-testid="some">{jobs.map((id) => states.get(id)?.progress).join()}</p>;
}

function App() {
  const [at, setAt] = useState(0);
  const [enabled, setEnabled] = useState(true);
  const [isThere, setIsThere] = useState(true);
  const [isList, setIsList] = useState(false);
  const [some, setSome] = useState(0);
  return (
    <main>
      <button onClick={() => setAt(at + 1)}>Next</button>
      <button onClick={() => setEnabled(!enabled)}>Enabled</button>
      <button onClick={() => setIsThere(!isThere)}>There</button>
      <button onClick={() => setIsList(!isList)}>List</button>
      <button onClick={() => setSome(some + 1)}>More</button>
      {isList && <List />}
      {some > 0 && <Some jobs={ids.slice(0, some)} />}
      {isThere && <Job id={ids[at]} enabled={enabled} />}
    </main>
  );
}

createRoot(document.getElementById("app")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
