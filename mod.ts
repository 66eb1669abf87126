/** The library: run an edge or a rift inside another program. @module */

export { type Clock, systemClock } from "./src/clock.ts";
export type {
  Config,
  EdgeConfig,
  ExposeConfig,
  LogConfig,
  RiftConfig,
  TunnelConfig,
} from "./src/config/config.ts";
export { loadConfig, type LoadedConfig, type LoadOptions } from "./src/config/load.ts";
export { type Edge, type EdgeStatus, startEdge } from "./src/edge/edge.ts";
export type { EdgeOptions } from "./src/edge/edge_options.ts";
export { ERROR_TABLE, type ErrorCode, type ErrorFacts, TunnelError } from "./src/errors.ts";
export {
  type Credential,
  decodeCredential,
  encodeCredential,
  issueRiftCredential,
  renewedCredential,
  rotateRiftCredential,
} from "./src/identity/credential.ts";
export { CredentialStore } from "./src/identity/credential_store.ts";
export { type RiftAuthority, riftAuthority } from "./src/identity/rift_authority.ts";
export { openTunnelCa, SERVER_NAME, type TunnelCa } from "./src/identity/tunnel_ca.ts";
export { type LogFields, type Logger, silentLogger } from "./src/log.ts";
export type { RenewedMaterial, Rift, RiftEnd, RiftOptions } from "./src/rift/rift_options.ts";
export { startRift } from "./src/rift/rift.ts";
export { memoryTransport } from "./src/transport/memory/memory_transport.ts";
export { quicTransport } from "./src/transport/quic/quic_transport.ts";
export type { TlsMaterial, Transport } from "./src/transport/transport.ts";
