import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { JobProgress } from "./types/element.js";
import type { JobState } from "./types/types.js";

export * from "./types/bindings/react.js";

interface JobProgressProps extends HTMLAttributes<JobProgress> {
  job?: string | undefined;
  url?: string | undefined;
  base?: string | undefined;
  token?: string | undefined;
  session?: string | undefined;
  label?: string | undefined;
  "no-cancel"?: boolean | undefined;
  "share-across-tabs"?: boolean | undefined;
  options?: JobProgress["options"];
  texts?: JobProgress["texts"];
  onjobstate?: ((event: CustomEvent<JobState>) => void) | undefined;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      /** `<job-progress>` of `jobcast/element`. React sets its properties from version 19 on. */
      "job-progress": DetailedHTMLProps<JobProgressProps, JobProgress>;
    }
  }
}
