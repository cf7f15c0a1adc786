// Node's http2 module, through a CONNECT tunnel.

import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import tls from "node:tls";

const HOST = "api.openai.com";
const proxy = new URL(process.env.HTTPS_PROXY);
const headers = proxy.username
  ? { "Proxy-Authorization": `Basic ${btoa(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`)}` }
  : {};
const options = { host: proxy.hostname, port: proxy.port, method: "CONNECT", path: `${HOST}:443`, headers, agent: false };

http.request(options).end().on("connect", (_response, socket) => {
  const ca = fs.readFileSync(process.env.SSL_CERT_FILE);
  const session = http2.connect(`https://${HOST}`, {
    createConnection: () => tls.connect({ socket, servername: HOST, ALPNProtocols: ["h2"], ca }),
  });
  const authorization = `Bearer ${process.env.OPENAI_API_KEY}`;
  const request = session.request({ ":path": "/trailers", authorization, te: "trailers" });
  const answer = { body: "" };
  request.on("response", (head) => (answer.status = head[":status"]));
  request.on("trailers", (trailers) => (answer.trailers = trailers));
  request.setEncoding("utf8").on("data", (piece) => (answer.body += piece));
  request.on("end", () => {
    session.close();
    console.log(JSON.stringify(answer));
  });
  request.end();
});
