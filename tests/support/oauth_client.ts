/** What the official clients ask of a program that lets them sign in, in memory. @module */

import type { AuthorizationServer } from "./authorization_server.ts";
import { REDIRECT_URL } from "./authorization_server.ts";

/** What is kept is given back as it was: the clients have fields of their own in it. */
interface KnownClient {
  readonly client_id: string;
}

interface KnownTokens {
  readonly access_token: string;
  readonly token_type: string;
}

interface Discovery {
  readonly authorizationServerUrl: string;
}

/** Fits `OAuthClientProvider` of both official clients. */
export class TestOAuthProvider {
  readonly redirectUrl = REDIRECT_URL;
  readonly clientMetadata = {
    client_name: "mcptun test",
    redirect_uris: [REDIRECT_URL],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    application_type: "native",
  };
  /** Where the user was sent. */
  authorizationUrl: URL | undefined;
  #client: KnownClient | undefined;
  #tokens: KnownTokens | undefined;
  #discovery: Discovery | undefined;
  #verifier = "";
  readonly #server: AuthorizationServer;

  /** @param clientId Without it the client registers itself (RFC 7591). */
  constructor(server: AuthorizationServer, clientId?: string) {
    this.#server = server;
    this.#client = clientId === undefined ? undefined : { client_id: clientId };
  }

  get accessToken(): string | undefined {
    return this.#tokens?.access_token;
  }

  /** What comes back to the client when its user has signed in. */
  async callback(): Promise<URLSearchParams> {
    if (this.authorizationUrl === undefined) throw new Error("The client has asked for nothing");
    return (await this.#server.signIn(this.authorizationUrl)).searchParams;
  }

  clientInformation(): KnownClient | undefined {
    return this.#client;
  }

  saveClientInformation(client: KnownClient): void {
    this.#client = client;
  }

  tokens(): KnownTokens | undefined {
    return this.#tokens;
  }

  saveTokens(tokens: KnownTokens): void {
    this.#tokens = tokens;
  }

  redirectToAuthorization(url: URL): void {
    this.authorizationUrl = url;
  }

  saveCodeVerifier(verifier: string): void {
    this.#verifier = verifier;
  }

  codeVerifier(): string {
    return this.#verifier;
  }

  discoveryState(): Discovery | undefined {
    return this.#discovery;
  }

  saveDiscoveryState(discovery: Discovery): void {
    this.#discovery = discovery;
  }
}
