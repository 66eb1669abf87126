/**
 * The one door to `@peculiar/x509`, which makes our certificates.
 *
 * It is loaded when the first certificate is made, not at import: a rift never makes one, and
 * loading it takes a noticeable part of a command's start.
 *
 * @module
 */

type X509Library = typeof import("@peculiar/x509");

/** Loads the library; later calls get the same one. */
export function loadX509(): Promise<X509Library> {
  loading ??= load();
  return loading;
}

let loading: Promise<X509Library> | undefined;

type Metadata = Map<unknown, unknown>;

/** The part of `reflect-metadata` that matters here. */
interface MetadataApi {
  getMetadata?: (key: unknown, target: object) => unknown;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
}

/**
 * `tsyringe`, below the library, wants three functions of the `reflect-metadata` polyfill on the
 * global `Reflect` while its classes are decorated, so only while it loads. They are taken away
 * afterwards: a library has no business changing globals of the program it is part of.
 */
async function load(): Promise<X509Library> {
  const api = Reflect as MetadataApi; // the cast only adds members that are optional
  if (api.getMetadata !== undefined) return await import("@peculiar/x509");
  const metadata = new WeakMap<object, Metadata>();
  api.getOwnMetadata = (key, target) => metadata.get(target)?.get(key);
  api.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at)) {
      const own = metadata.get(at);
      if (own?.has(key)) return own.get(key);
    }
    return undefined;
  };
  api.defineMetadata = (key, value, target) => {
    const own: Metadata = metadata.get(target) ?? new Map();
    metadata.set(target, own.set(key, value));
  };
  try {
    return await import("@peculiar/x509");
  } finally {
    delete api.getMetadata;
    delete api.getOwnMetadata;
    delete api.defineMetadata;
  }
}
