// The plain way: one subscriber connection, a map from job to responses, the session checked in Redis.
import express from "express";
import Redis from "ioredis";

const url = process.env.REDIS_URL;
const redis = new Redis(url);
const subscriber = new Redis(url);
const viewers = new Map();

subscriber.on("message", (channel, message) => {
  const { id, event, data } = JSON.parse(message);
  const frame = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
  for (const response of viewers.get(channel) ?? []) response.write(frame);
});

const app = express();

app.get("/api/v1/jobs/:id/stream", async (request, response) => {
  const { id } = request.params;
  const owner = await redis.hget(`jobs:{${id}}:state`, "sessionId");
  if (!owner || owner !== request.query.sessionId) {
    response.status(404).end();
    return;
  }
  const channel = `jobs:${id}:events`;
  if (!viewers.has(channel)) {
    viewers.set(channel, new Set());
    await subscriber.subscribe(channel);
  }
  viewers.get(channel).add(response);
  response.on("close", () => viewers.get(channel)?.delete(response));
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.write(`event: connected\ndata: {"jobId":"${id}"}\n\n`);
});

app.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 8192 });
process.on("SIGTERM", () => process.exit(0));
