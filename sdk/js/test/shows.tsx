// A component in TypeScript that shows the element.

import "jobcast/element";
import { useJob } from "jobcast/react";
import { useRef } from "react";
import type { JobProgress } from "jobcast/element";

export function Report({ jobId, token }: { jobId: string; token: () => Promise<string> }) {
  const bar = useRef<JobProgress>(null);
  const { step } = useJob(jobId, { token });
  return (
    <job-progress ref={bar} job={jobId} label={step ?? "Report"} no-cancel options={{ token }} onjobstate={({ detail }) => detail.outcome}>
      <a slot="result" href="/report" onClick={() => bar.current?.cancel()}>
        The report
      </a>
    </job-progress>
  );
}

// @ts-expect-error there is no such attribute
export const wrong = <job-progress jobid="j" />;
