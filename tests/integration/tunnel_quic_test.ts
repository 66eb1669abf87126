/** The tunnel suite over QUIC on loopback, with mutual TLS. @module */

import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import { makeTestPki } from "../support/test_pki.ts";
import type { SuiteOptions } from "../support/tunnel_context.ts";
import { tunnelLifecycleSuite } from "./tunnel_lifecycle_suite.ts";
import { tunnelSuite } from "./tunnel_suite.ts";

const pki = makeTestPki();

const OPTIONS: SuiteOptions = {
  name: "QUIC",
  makeTransport: async () => {
    const { server, client } = await pki;
    return { transport: quicTransport(), serverTls: server, clientTls: client };
  },
};

tunnelSuite(OPTIONS);
tunnelLifecycleSuite(OPTIONS);
