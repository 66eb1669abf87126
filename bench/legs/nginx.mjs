/** nginx, as an upstream and as a reverse proxy: one process, its own folder, a loopback port. @module */

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { Child, freePort, listening } from "../lib/process.mjs";

/** Version of the installed nginx, or `undefined`. */
export function nginxVersion() {
  try {
    return execFileSync("sh", ["-c", "nginx -v 2>&1"], { encoding: "utf8" }).split("/")[1]?.trim();
  } catch {
    return undefined; // not installed
  }
}

/** Starts nginx with `blocks(port)` in its http section. */
export async function nginx(context, name, blocks) {
  const port = await freePort();
  const dir = `${context.tempDir}/${name}`;
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    `${dir}/nginx.conf`,
    `
daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 8192; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  ${blocks(port)}
}
`,
  );
  const child = new Child({
    name,
    command: "nginx",
    args: ["-p", dir, "-c", `${dir}/nginx.conf`, "-e", "stderr"],
    logFile: `${dir}/error.log`,
  });
  await listening(port);
  return { port, pid: child.pid, stop: () => child.stop() };
}

/** The reverse-proxy leg: kept-alive upstream connections, nothing buffered. */
export async function startNginxProxy(context, upstream) {
  const proxy = await nginx(context, "nginx-proxy", (port) => `
  upstream json { server 127.0.0.1:${upstream.jsonPort}; keepalive 256; keepalive_requests 100000000; }
  upstream work { server 127.0.0.1:${upstream.workPort}; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_read_timeout 1h;
    location = /json/mcp { proxy_pass http://json/mcp; }
    location /work/ { proxy_pass http://work/; }
  }`);
  return {
    json: `http://127.0.0.1:${proxy.port}/json/mcp`,
    work: `http://127.0.0.1:${proxy.port}/work`,
    watched: [{ role: "proxy", pid: proxy.pid }],
    stop: proxy.stop,
  };
}
