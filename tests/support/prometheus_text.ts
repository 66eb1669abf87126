/** A reader of the Prometheus text format, version 0.0.4, that accepts nothing doubtful. @module */

/** One line of numbers. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One metric with its samples. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** @throws When the text is not a valid exposition. */
export function parsePrometheus(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("The last line has no end");
  const families = new Map<string, Family & { samples: Sample[] }>();
  const helps = new Map<string, string>();
  const seen = new Set<string>();
  let current: (Family & { samples: Sample[] }) | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/.exec(line);
    if (help !== null) {
      if (helps.has(help[1]!)) throw new Error(`Two HELP lines: ${line}`);
      helps.set(help[1]!, help[2]!);
    } else if (type !== null) {
      const name = type[1]!;
      if (families.has(name)) throw new Error(`Two TYPE lines: ${line}`);
      if (!helps.has(name)) throw new Error(`TYPE without HELP: ${line}`);
      current = { name, type: type[2]!, help: helps.get(name)!, samples: [] };
      families.set(name, current);
    } else {
      const sample = parseSample(line);
      const suffixes = current?.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
      if (current === undefined || !suffixes.some((end) => sample.name === current!.name + end)) {
        throw new Error(`A sample outside of its family: ${line}`);
      }
      const identity = line.slice(0, line.lastIndexOf(" "));
      if (seen.has(identity)) throw new Error(`A sample twice: ${line}`);
      seen.add(identity);
      current.samples.push(sample);
    }
  }
  return families;
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) throw new Error(`Not a sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = match[2] ?? "";
  while (rest !== "") {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(rest);
    if (label === null) throw new Error(`Not labels: ${line}`);
    if (Object.hasOwn(labels, label[1]!)) throw new Error(`A label twice: ${line}`);
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, one: string) => one === "n" ? "\n" : one);
    rest = rest.slice(label[0].length);
  }
  const value = Number(match[3] === "+Inf" ? "Infinity" : match[3]);
  if (Number.isNaN(value)) throw new Error(`Not a number: ${line}`);
  return { name: match[1]!, labels, value };
}
