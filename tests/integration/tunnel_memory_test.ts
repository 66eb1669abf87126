/** The tunnel suite over the in-memory transport. @module */

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import type { SuiteOptions } from "../support/tunnel_context.ts";
import { tunnelLifecycleSuite } from "./tunnel_lifecycle_suite.ts";
import { tunnelSuite } from "./tunnel_suite.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };

const OPTIONS: SuiteOptions = {
  name: "memory",
  makeTransport: () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
};

tunnelSuite(OPTIONS);
tunnelLifecycleSuite(OPTIONS);
