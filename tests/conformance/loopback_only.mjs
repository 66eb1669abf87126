/** Preloaded into servers that would listen on every interface: makes them listen on loopback alone. */

import { Server } from "node:net";

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  return typeof port === "object"
    ? listen.call(this, { ...port, host: "127.0.0.1" }, ...rest)
    : listen.call(
      this,
      { port: Number(port), host: "127.0.0.1" },
      rest.findLast(isFunction),
    );
};

function isFunction(value) {
  return typeof value === "function";
}
