/** Starts the legs of a round. @module */

/**
 * Starts every leg that can run here. One that cannot is noted once and left out.
 *
 * @returns pairs of name and started leg, in the order of `legs`
 */
export async function startLegs(context, legs, upstream) {
  const started = [];
  for (const [name, { start, skip }] of Object.entries(legs)) {
    if (context.onlyLegs !== undefined && !context.onlyLegs.includes(name)) continue;
    const reason = skip?.(context);
    if (reason !== undefined) {
      context.note(`${name}: left out, ${reason}`);
      continue;
    }
    try {
      started.push([name, await start(context, upstream)]);
    } catch (error) {
      context.note(`${name}: did not start: ${error.message}`);
    }
  }
  return started;
}
