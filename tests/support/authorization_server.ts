/**
 * A real authorization server on loopback (`oidc-provider`), whose one user signs in and consents
 * without a person.
 *
 * It issues JWT access tokens (RFC 9068) for whatever resource a client names (RFC 8707).
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";

import { exportJWK, generateKeyPair } from "jose";
import Provider, { type Configuration } from "oidc-provider";

import { startServer } from "./http_probe.ts";

/** The one client that is registered already: public, with PKCE. */
export const TEST_CLIENT_ID = "mcptun-test";
/** Where clients of the tests are sent back to; nobody listens there. */
export const REDIRECT_URL = "http://127.0.0.1:1/callback";

/** A running authorization server. */
export interface AuthorizationServer {
  readonly issuer: string;
  /** Does what a browser and its user do; resolves with the URL the client is sent back to. */
  signIn(authorizationUrl: URL): Promise<URL>;
  close(): Promise<void>;
}

/** What to issue. */
export interface AuthorizationServerOptions {
  readonly user: string;
  readonly groups: readonly string[];
  /** The scopes of every resource, separated by spaces. */
  readonly scope: string;
}

/** Starts one. */
export async function startAuthorizationServer(
  options: AuthorizationServerOptions,
): Promise<AuthorizationServer> {
  // The issuer's name has its port: the server comes first.
  let handle = (_request: IncomingMessage, response: ServerResponse): void => void response.end();
  const server = await startServer((request, response) => handle(request, response));
  const issuer = server.url;
  const provider = new Provider(issuer, await configurationOf(options));
  const callback = provider.callback();
  handle = (request, response) => {
    const isInteraction = request.url?.startsWith("/interaction/") === true;
    const done = isInteraction
      ? provider.interactionFinished(request, response, {
        login: { accountId: options.user },
        consent: {}, // native programs always ask for it
      })
      : callback(request, response);
    Promise.resolve(done).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  };
  return {
    issuer,
    signIn: (authorizationUrl) => signIn(authorizationUrl),
    close: () => server.close(),
  };
}

async function configurationOf(
  { user, groups, scope }: AuthorizationServerOptions,
): Promise<Configuration> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const signingKey = { ...await exportJWK(privateKey), kid: "test", use: "sig", alg: "RS256" };
  return {
    clients: [{
      client_id: TEST_CLIENT_ID,
      token_endpoint_auth_method: "none",
      application_type: "native",
      redirect_uris: [REDIRECT_URL],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    }],
    jwks: { keys: [signingKey as never] }, // a JWK of jose is one of oidc-provider
    // Those of resources too: a client may register for one only when it is among these.
    scopes: ["openid", "offline_access", ...scope.split(" ")],
    cookies: { keys: ["only for tests"] },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    extraTokenClaims: () => ({ groups: [...groups] }),
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    /** The user has consented to everything already. */
    async loadExistingGrant(context) {
      const { client, params, provider } = context.oidc;
      const grant = new provider.Grant({ accountId: user, clientId: client!.clientId });
      grant.addOIDCScope(`openid offline_access ${scope}`);
      const { resource } = params as { resource?: string | string[] };
      for (const each of [resource ?? []].flat()) grant.addResourceScope(each, scope);
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          audience: resource,
          scope,
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  };
}

const MAX_REDIRECTS = 10;

/** Follows redirects with a browser's cookies until they lead to the client. */
async function signIn(authorizationUrl: URL): Promise<URL> {
  const cookies = new Map<string, string>();
  let url = authorizationUrl;
  for (let step = 0; step < MAX_REDIRECTS; step++) {
    const response = await fetch(url, {
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (name !== undefined && value !== undefined) cookies.set(name, value);
    }
    const location = response.headers.get("location");
    const text = await response.text();
    if (location === null) throw new Error(`No redirect from ${url.pathname}: ${text}`);
    url = new URL(location, url);
    if (url.href.startsWith(REDIRECT_URL)) return url;
  }
  throw new Error(`More than ${MAX_REDIRECTS} redirects`);
}
