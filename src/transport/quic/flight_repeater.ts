/**
 * Sends the newest packets of a handshake again until something comes back.
 *
 * Before a round trip was measured, QUIC takes a packet for lost after a second (RFC 9002, 6.2.2).
 * In a flood of the edge's port the kernel drops most of what arrives, and a rift would wait for
 * seconds. Copies are what any network may make of a packet: the other side takes one of them.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import type { Clock, Timer } from "../../clock.ts";
import { FLIGHT_REPEAT_MS, MAX_FLIGHT_DATAGRAMS, MAX_FLIGHT_REPEATS } from "../../limits.ts";
import type { UdpAddress } from "../../runtime/udp_socket.ts";

/** For one connection that dials, until its handshake is done. */
export class FlightRepeater {
  readonly #clock: Clock;
  readonly #send: (bytes: Uint8Array, to: UdpAddress) => void;
  #flight: { readonly bytes: Uint8Array; readonly to: UdpAddress }[] = [];
  #repeats = 0;
  #isAnswered = false;
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock, send: (bytes: Uint8Array, to: UdpAddress) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /** A datagram has been sent; it is copied. */
  sent(bytes: Uint8Array, to: UdpAddress): void {
    if (this.#closed) return;
    if (this.#isAnswered) this.#flight = [];
    this.#isAnswered = false;
    this.#flight.push({ bytes: Buffer.from(bytes), to });
    if (this.#flight.length > MAX_FLIGHT_DATAGRAMS) this.#flight.shift();
    if (this.#timer === undefined) this.#wait();
  }

  /**
   * Something came back: what is sent next is a new flight. Nothing may be: a second Retry, for a
   * copy of the first packet, is no reason to give up on the second.
   */
  heard(): void {
    this.#isAnswered = true;
  }

  close(): void {
    this.#closed = true;
    this.#flight = [];
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait(): void {
    if (this.#repeats >= MAX_FLIGHT_REPEATS) return;
    this.#timer = this.#clock.setTimer(FLIGHT_REPEAT_MS, () => {
      this.#timer = undefined;
      this.#repeats += 1;
      for (const { bytes, to } of this.#flight) this.#send(bytes, to);
      this.#wait();
    });
  }
}
