// The plain way: a stream manager with one pattern subscription, each connection sends for itself.
import { randomUUID } from "node:crypto";
import { frame, serve, subscriber } from "./server.js";

const connectionsOfJob = new Map();

function createConnection(jobId, response) {
  const connectionId = randomUUID();
  const send = (event, data, id) => response.write(frame(event, data, id));
  send("connected", { connectionId, jobId });
  return { connectionId, send };
}

function subscribeToJob(jobId, connection) {
  if (!connectionsOfJob.has(jobId)) connectionsOfJob.set(jobId, new Map());
  connectionsOfJob.get(jobId).set(connection.connectionId, connection);
}

function unsubscribeFromJob(jobId, connection) {
  const connections = connectionsOfJob.get(jobId);
  connections.delete(connection.connectionId);
  if (connections.size === 0) connectionsOfJob.delete(jobId);
}

subscriber.psubscribe("jobs:*:events");
subscriber.on("pmessage", (_pattern, channel, message) => {
  const connections = connectionsOfJob.get(channel.slice("jobs:".length, -":events".length));
  if (!connections) return;
  const { id, event, data } = JSON.parse(message);
  for (const connection of connections.values()) connection.send(event, data, id);
});

serve((jobId, response) => {
  const connection = createConnection(jobId, response);
  subscribeToJob(jobId, connection);
  return () => unsubscribeFromJob(jobId, connection);
});
