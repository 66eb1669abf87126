/** The tunnel suite over QUIC on loopback, with mutual TLS. @module */

import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import { makeTestPki } from "../support/test_pki.ts";
import { tunnelSuite } from "./tunnel_suite.ts";

const pki = makeTestPki();

tunnelSuite({
  name: "QUIC",
  makeTransport: async () => {
    const { server, client } = await pki;
    return { transport: quicTransport(), serverTls: server, clientTls: client };
  },
});
