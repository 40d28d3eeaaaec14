// The service around a stream manager: Express, the session checked in Redis, one route.
import express from "express";
import Redis from "ioredis";

const url = process.env.REDIS_URL;

export const subscriber = new Redis(url);

/** Serves streams; join(jobId, response) adds a viewer and returns what removes it. */
export function serve(join) {
  const redis = new Redis(url);
  const app = express();

  app.get("/api/v1/jobs/:jobId/stream", async (request, response) => {
    const { jobId } = request.params;
    const owner = await redis.hget(`jobs:{${jobId}}:state`, "sessionId");
    if (!owner || owner !== request.query.sessionId) {
      response.status(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    response.on("close", join(jobId, response));
  });

  app.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 8192 });
  process.on("SIGTERM", () => process.exit(0));
}

/** Spells an event as a viewer reads it. */
export function frame(event, data, id) {
  return `${id ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
