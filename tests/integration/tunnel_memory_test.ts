/** The tunnel suite over the in-memory transport. @module */

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { tunnelSuite } from "./tunnel_suite.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };

tunnelSuite({
  name: "memory",
  makeTransport: () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
});
