import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useJob, useJobs } from "jobcast/react";

const [session, ...ids] = location.hash.slice(1).split(",");

function Job({ id, enabled }) {
  const [ticks, setTicks] = useState(0);
  const job = useJob(id, { session, enabled, onTick: () => setTicks((count) => count + 1) });
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

function App() {
  const [at, setAt] = useState(0);
  const [enabled, setEnabled] = useState(true);
  const [isThere, setIsThere] = useState(true);
  const [isList, setIsList] = useState(false);
  return (
    <main>
      <button onClick={() => setAt(at + 1)}>Next</button>
      <button onClick={() => setEnabled(!enabled)}>Enabled</button>
      <button onClick={() => setIsThere(!isThere)}>There</button>
      <button onClick={() => setIsList(!isList)}>List</button>
      {isList && <List />}
      {isThere && <Job id={ids[at]} enabled={enabled} />}
    </main>
  );
}

createRoot(document.getElementById("app")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
