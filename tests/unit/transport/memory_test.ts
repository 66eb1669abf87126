import { memoryTransport } from "../../../src/transport/memory/memory_transport.ts";
import { transportSuite } from "../../support/transport_suite.ts";

transportSuite("memory", memoryTransport);
