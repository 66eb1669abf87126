import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import { transportSuite } from "../support/transport_suite.ts";

transportSuite("QUIC", quicTransport);
