// The careful way: a subscription for each job, each event encoded once for all its viewers.
import { frame, serve, subscriber } from "./server.js";

const jobs = new Map();

subscriber.on("message", (channel, message) => {
  const { id, event, data } = JSON.parse(message);
  const text = frame(event, data, id);
  for (const response of jobs.get(channel)?.viewers ?? []) response.write(text);
});

serve((jobId, response) => {
  const channel = `jobs:${jobId}:events`;
  if (!jobs.has(channel)) {
    jobs.set(channel, { viewers: new Set(), subscribed: subscriber.subscribe(channel) });
  }
  const { viewers, subscribed } = jobs.get(channel);
  viewers.add(response);
  subscribed.then(() => response.write(frame("connected", { jobId })));
  return () => {
    viewers.delete(response);
    if (viewers.size > 0) return;
    jobs.delete(channel);
    subscriber.unsubscribe(channel);
  };
});
