// The JavaScript side of the process host (sandbox/runtime/process/node.cpp), given to Node by --eval. It loads the
// evaluator as an ES module, then answers items: one, or with isolation "run" one after the other. What it says and
// where is in sandbox/runtime/process/interpreter.hpp.
import { readSync, writeSync } from "node:fs";
import process from "node:process";
import vm from "node:vm";

const CONTROL = 3, RESULTS = 4;
const CALL_LIMIT = 4 << 20;
const ENDED = 2, LOADED = 3, REFUSED = 4;
const REUSED = process.env.ASSAY_ISOLATION === "run";
const LOCKED = process.env.ASSAY_LOCK === "locked";
const { parse, stringify } = JSON;
const { isFinite } = Number;
const exit = process.reallyExit.bind(process);
const resources = process.resourceUsage.bind(process);
let answered = true;

class BadResult extends Error {}

/** A model that was asked did not reply. `kind` says why: auth, billing, rate_limited, … */
class ModelError extends Error {
  name = "ModelError";

  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

function readExactly(descriptor, size) {
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < size;) {
    const count = readSync(descriptor, buffer, at, size - at);
    if (count === 0) exit(0); // the host has gone
    at += count;
  }
  return buffer;
}

function readFrame(descriptor) {
  return parse(readExactly(descriptor, readExactly(descriptor, 4).readUInt32LE()).toString());
}

function writeAll(descriptor, data) {
  for (let at = 0; at < data.length;) {
    try {
      at += writeSync(descriptor, data, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function writeFrame(value) {
  writeText(Buffer.from(stringify(value)));
}

function writeText(text) {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(text.length);
  writeAll(RESULTS, Buffer.concat([header, text]));
}

function wellFormed(key, value) {
  return typeof value === "string" && value.toWellFormed ? value.toWellFormed() : value;
}

/** What the worker does for evaluators. */
function workerFor(grants) {
  const checkGranted = (name, grant) => {
    if (!grants.includes(grant))
      throw new Error(`assay.${name} was not granted: add grants = ["${grant}"] to the evaluator's definition`);
    if (answered) throw new Error(`assay.${name} can be called by run_evaluation, not while the file is loaded`);
  };
  const call = (method, params) => {
    const text = Buffer.from(stringify({ call: method, params }, wellFormed));
    if (text.length > CALL_LIMIT) throw new RangeError("what the worker is asked is larger than 4 MiB");
    writeText(text);
    const { result, error } = readFrame(RESULTS);
    if (error) throw new ModelError(error.kind, error.message);
    return result;
  };
  return {
    run_candidate({ language, source, stdin = "", limits = {} }) {
      checkGranted("run_candidate", "candidate");
      for (const text of [language, source, stdin])
        if (typeof text !== "string") throw new TypeError("run_candidate: language, source and stdin must be strings");
      return call("run_candidate", { language, source, stdin, limits });
    },
    llm({ prompt, messages, ...request }) {
      checkGranted("llm", "llm");
      if (typeof request.model !== "string") throw new TypeError("llm: model must be a string");
      if ((prompt == null) === (messages == null)) throw new TypeError("llm: give either prompt or messages");
      return call("llm.complete", { ...request, messages: messages ?? [{ role: "user", content: prompt }] });
    },
  };
}

function writeRecord(kind) {
  const record = Buffer.alloc(24);
  record.writeInt32LE(kind, 0);
  record.writeBigInt64LE(BigInt(resources().maxRSS) * 1024n, 16);
  writeAll(CONTROL, record);
}

function described(value) {
  if (typeof value === "string") return `the string ${stringify(value.length <= 60 ? value : value.slice(0, 60) + "…")}`;
  if (value === null || value === undefined || typeof value === "boolean" || typeof value === "number") return String(value);
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}

function number(value, what) {
  if (typeof value !== "number")
    throw new BadResult(`${what} ${described(value)}; return a number, true or false, or an object with a numeric score`);
  if (!isFinite(value)) throw new BadResult(`${what} ${value}, which is not finite`);
  return value;
}

function resultOf(value) {
  if (typeof value === "boolean") return { score: Number(value), passed: value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { score: number(value, "run_evaluation returned") };
  const { score, reason, metrics } = value;
  let { passed } = value;
  if (score === undefined) throw new BadResult("the returned object has no score");
  const result = { score: typeof score === "boolean" ? Number(score) : number(score, "score is") };
  if (passed === undefined || passed === null) passed = typeof score === "boolean" ? score : undefined;
  if (passed !== undefined) {
    if (typeof passed !== "boolean") throw new BadResult(`passed is ${described(passed)}; it must be true or false`);
    result.passed = passed;
  }
  if (reason !== undefined && reason !== null) {
    if (typeof reason !== "string") throw new BadResult(`reason is ${described(reason)}; it must be a string`);
    result.reason = reason.toWellFormed ? reason.toWellFormed() : reason;
  }
  if (metrics !== undefined && metrics !== null) {
    if (typeof metrics !== "object" || Array.isArray(metrics)) throw new BadResult(`metrics is ${described(metrics)}; it must be an object of numbers`);
    result.metrics = Object.fromEntries(Object.entries(metrics).map(([name, entry]) => [name, number(entry, `metrics.${name} is`)]));
  }
  return result;
}

/// The stack without our own frames.
function explained(error) {
  if (!(error instanceof Error) && typeof error?.stack !== "string") return `threw ${described(error)}`;
  const lines = String(error.stack).split("\n").filter((line) => !/^\s+at .*(\[eval|node:|<anonymous>)/.test(line));
  const text = lines.join("\n").trim();
  return (error.cause === undefined ? text : `${text}\ncaused by: ${explained(error.cause)}`).slice(0, 16000);
}

function failure(error) {
  if (error instanceof ModelError) return { error: { kind: String(error.kind), message: String(error.message) } };
  if (error instanceof BadResult) return { error: { kind: "bad_result", message: error.message } };
  return { error: { kind: "evaluator_error", message: explained(error) } };
}

function answer(result) {
  if (answered) return;
  answered = true;
  writeFrame(result);
  writeRecord(ENDED);
}

const modules = new Map(); // by what they were imported as; Node keeps no hold of them itself

async function imported(specifier) {
  if (modules.has(specifier)) return modules.get(specifier);
  const namespace = await import(specifier);
  const names = Object.keys(namespace);
  const module = new vm.SyntheticModule(names, function () {
    for (const name of names) this.setExport(name, namespace[name]);
  });
  modules.set(specifier, module);
  return module;
}

async function load(request) {
  globalThis.params = request.params;
  globalThis.assay = { params: request.params, ModelError, ...workerFor(request.grants) };
  const module = new vm.SourceTextModule(request.source, {
    identifier: `${request.evaluator}.mjs`,
    importModuleDynamically: (specifier) => import(specifier),
  });
  modules.set("", module);
  await module.link(imported);
  await module.evaluate();
  const run = module.namespace.run_evaluation;
  if (typeof run !== "function") throw new BadResult(`${request.evaluator}.mjs exports no function run_evaluation`);
  return run;
}

async function evaluate(run) {
  const item = readFrame(CONTROL);
  answered = false;
  try {
    answer(resultOf(await run(item)));
  } catch (error) {
    answer(failure(error));
  }
}

if (!LOCKED) exit(1);
if (process.cwd() === "/assay/packages") process.chdir("/tmp");
for (const name of ["LD_PRELOAD", "ASSAY_LOCK", "ASSAY_ISOLATION"]) delete process.env[name];
let run;
try {
  run = await load(readFrame(CONTROL));
} catch (error) {
  if (error instanceof SyntaxError) throw error; // where it is, Node tells by printing it and no other way
  const message = error instanceof BadResult ? error.message : explained(error);
  writeFrame({ error: { kind: "config", message } });
  writeRecord(REFUSED);
  exit(0);
}
process.on("uncaughtException", (error) => {
  answer(failure(error));
  if (!REUSED) exit(0);
});
process.on("beforeExit", () => {
  answer({ error: { kind: "evaluator_error", message: "nothing is left that could settle run_evaluation's promise" } });
});
process.on("exit", (code) => {
  answer({ error: { kind: "evaluator_error", message: `the evaluator called process.exit(${code})` } });
});
writeRecord(LOADED);
do await evaluate(run);
while (REUSED);
exit(0);
