// Attacks in JavaScript, by the process of an item or while the evaluator is loaded.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {
namespace {

void add_resources(Table& table) {
  table.node("1 programs", R"js(
for (const name of ["/bin/true", "/bin/sh", process.execPath]) {
  refused(() => childProcess.execFileSync(name));
  if (!childProcess.spawnSync(name).error) throw new Error("spawnSync worked");
  await rejected(new Promise((resolve, reject) => childProcess.execFile(name, (error) => error ? reject(error) : resolve())), name);
}
refused(() => childProcess.fork("/tmp/x.js"));
)js");
  table.node_may_end("2 threads", {kCrashed, kRaises, kMemory, kPids, kCpu, kTimeout}, R"js(
const workers = [];
for (let i = 0; i < 200; i++) workers.push(new Worker("setInterval(() => {}, 1000)", { eval: true }));
await Promise.any(workers.map((worker) => new Promise((resolve, reject) => worker.on("error", resolve))));
)js",
                     Pace::hasty);
  table.node("4 memory: the heap", "const x = [];\nfor (;;) x.push(new Array(10000).fill(x.length));",
             {kMemory, kCrashed});
  table.node("4 memory: buffers", "const x = [];\nfor (;;) x.push(Buffer.alloc(1 << 20, 1));",
             {kMemory, kCrashed, kRaises});
  table.node("4 memory: a shared buffer", "new Uint8Array(new SharedArrayBuffer(2 ** 31)).fill(1);",
             {kMemory, kCrashed, kRaises});
  table.node("4 memory: a string", "let x = 'x';\nfor (;;) x = Buffer.from((x += x) + '\\u1234').toString();",
             {kMemory, kCrashed, kRaises});
  table.node("4 memory: of threads",
             "new Worker('const x = []; for (;;) x.push(new Array(10000).fill(x.length))', { eval: true });\n"
             "await new Promise(() => setInterval(() => {}, 1000));",
             {kMemory, kCrashed, kRaises, kTimeout}, Pace::hasty);
  table.node("5 scratch", R"js(
refused(() => { for (let i = 0; ; i++) fs.writeFileSync(`/tmp/large${i}`, Buffer.alloc(1 << 20)); });
)js");
  table.node("10 busy loop", "for (;;);", {kCpu}, Pace::lean);
  table.node("10 an expression that backtracks", "/^(a+)+$/.test('a'.repeat(64) + 'b');", {kCpu}, Pace::lean);
  table.node("10 microtasks without end", "for (;;) await null;", {kCpu}, Pace::lean);
  table.node(
      "10 a busy thread",
      "new Worker('for (;;);', { eval: true });\nawait new Promise(() => setInterval(() => {}, 1000));",
      {kCpu}, Pace::lean);
  table.node("11 waits", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);", {kTimeout},
             Pace::hasty);
  table.node("11 a promise that nothing settles", "await new Promise(() => {});", {kRaises});
  table.node("11 a promise and a timer", "await new Promise(() => setInterval(() => {}, 1000));", {kTimeout},
             Pace::hasty);
  table.node("11 reads what nobody writes", "fs.readSync(4, Buffer.alloc(1));", {kTimeout}, Pace::hasty);
  table.node("13 a huge result", "return { score: 1, reason: 'x'.repeat(10 << 20) };", {kOutput, kMemory});
  table.node("13 many metrics",
             "const metrics = {};\nfor (let i = 0; i < 300000; i++) metrics['metric' + i] = i;\nreturn { "
             "score: 1, metrics };",
             {kOutput, kMemory});
  table.node("14 log without end", "for (;;) console.log('x'.repeat(1000));", {kCpu}, Pace::lean);
  table.node("14 much log", "for (let i = 0; i < 5000; i++) console.error('x'.repeat(1000));");
  table.node("21 a large file",
             "fs.closeSync(fs.openSync('/tmp/large', 'w'));\n"
             "refused(() => fs.truncateSync('/tmp/large', 2 ** 40));\nthrow new Error('refused')",
             {kRaises, kOutput, kCrashed});
  table.node("22 many files", R"js(
refused(() => { for (let i = 0; i < 1100; i++) fs.writeFileSync(`/tmp/${i}`, ""); });
)js");
  table.node("24 descriptors", R"js(
refused(() => { for (let i = 0; i < 1000; i++) fs.openSync("/dev/null"); });
)js");
}

void add_results(Table& table) {
  table.node("81 a result before the result", "fs.writeSync(4, frame({ score: -1 }));",
             {kBadResult, kCrashed});
  table.node("81 a result and the end", "fs.writeSync(4, frame({ score: 1 }));\nprocess.reallyExit(0);",
             {kCrashed, kBadResult});
  table.node("81 half a result",
             "fs.writeSync(4, frame({ score: 1 }).subarray(0, 5));\nprocess.reallyExit(0);",
             {kCrashed, kBadResult});
  table.node(
      "82 records of its own",
      "for (let kind = 0; kind < 8; kind++) { const record = Buffer.alloc(24); record.writeInt32LE(kind);\n"
      "fs.writeSync(3, record); }",
      {kCrashed, kBadResult});
  table.node("82 a record of a process of the host",
             "const record = Buffer.alloc(24); record.writeInt32LE(1); record.writeInt32LE(HOST.pid, 4);\n"
             "fs.writeSync(3, record);\nfor (;;);",
             {kCrashed, kCpu}, Pace::lean);
  table.node("83 every descriptor closed",
             "for (let fd = 0; fd < 64; fd++) try { fs.closeSync(fd); } catch {}\n",
             {kCrashed, kBadResult, kRaises});
  table.node("84 what the runner uses", R"js(
JSON.stringify = () => '{"score":-1}';
JSON.parse = () => ({ score: -1 });
Buffer.from = () => { throw new Error("taken"); };
globalThis.process = { exit() {} };
Number.isFinite = () => true;
Array.isArray = () => false;
)js",
             {kRaises, kCrashed, kBadResult});
  table.node("84 prototypes", R"js(
Object.prototype.passed = false;
Object.prototype.reason = "forged";
Array.prototype.map = () => [];
)js");
  table.node("85 a result that throws", "return new Proxy({}, { get() { throw new Error('no'); } });",
             {kRaises});
  table.node("85 a result that never is", "return { then() {}, score: 1 };", {kRaises});
  table.node("86 the end", "process.exit(0);", {kRaises});
  table.node("86 the real end", "process.reallyExit(0);", {kCrashed});
  table.node("86 abort", "process.abort();", {kCrashed});
  table.node("86 a signal to itself",
             "process.kill(process.pid, 'SIGKILL');\nawait new Promise((r) => setTimeout(r, 100));",
             {kCrashed, kMemory, kRaises});
  table.node("86 stops itself", "process.kill(process.pid, 'SIGSTOP');", {kTimeout, kRaises}, Pace::hasty);
  table.node("86 throws nothing", "throw null;", {kRaises});
  table.node(
      "86 throws later",
      "setTimeout(() => { throw new Error('later'); }, 0);\nawait new Promise((r) => setTimeout(r, 50));",
      {kRaises});
  table.node("27 signals ignored",
             "for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => {});\n"
             "await new Promise(() => setInterval(() => {}, 1000));",
             {kTimeout}, Pace::hasty);
  table.node_load("while it loads: busy", "for (;;);", Pace::hasty);
  table.node_load("while it loads: memory",
                  "const x = [];\nfor (;;) x.push(new Array(10000).fill(x.length));");
  table.node_load("while it loads: a result", "fs.writeSync(4, frame({ score: 1 }));");
  table.node_load("while it loads: the end", "process.reallyExit(0);");
  table.node_load("while it loads: every descriptor closed",
                  "for (let fd = 0; fd < 64; fd++) try { fs.closeSync(fd); } catch {}\n");
}

void add_escapes(Table& table) {
  table.node("41 signals to others", R"js(
for (const pid of [...HOST.pids, 1, -1, process.ppid, HOST.daemon, -process.ppid])
  for (const signal of ["SIGTERM", "SIGKILL", "SIGSTOP"]) refused(() => process.kill(pid, signal));
refused(() => process._debugProcess(process.ppid));
refused(() => os.setPriority(process.ppid, 5));
)js");
  table.node("48 files of the host", R"js(
for (const path of [HOST.file, `${HOST.folder}/x`, "/etc/shadow", "/root/x", "/proc/1/environ", "/proc/1/mem", "/proc/kcore", "/dev/mem",
                    `/proc/${process.ppid}/environ`, `/proc/${HOST.pid}/environ`, "/../.." + HOST.file, "/assay/libassay-lock.so"])
  for (const flags of ["r+", "w", "a", "wx"]) refused(() => fs.openSync(path, flags));
for (const path of [HOST.file, "/etc/shadow", "/proc/1/environ", `/proc/${process.ppid}/environ`]) refused(() => fs.readFileSync(path));
for (const folder of ["/", "/usr", "/etc", "/dev", "/assay", HOST.folder]) refused(() => fs.mkdirSync(`${folder}/attack`));
refused(() => fs.rmSync("/usr/bin/env"));
refused(() => fs.chmodSync(HOST.file, 0o777));
refused(() => fs.utimesSync(HOST.file, 1, 1));
)js");
  table.node("49 links", R"js(
if (NAMESPACES) {
  fs.symlinkSync(HOST.file, "/tmp/link");
  refused(() => fs.readFileSync("/tmp/link"));
  refused(() => fs.linkSync("/usr/bin/env", "/tmp/hard"));
}
)js");
  table.node("51 the environment", R"js(
const known = ["PATH", "HOME", "TMPDIR", "LANG", "TZ", "OPENSSL_CONF"];
const more = Object.keys(process.env).filter((name) => !known.includes(name));
if (more.length > 0) throw new Error(`in the environment: ${more}`);
)js");
  table.node("54 other users", R"js(
refused(() => process.setuid(0));
refused(() => process.setgid(0));
refused(() => process.setgroups([0]));
if (NAMESPACES && process.getuid() === 0) throw new Error("is root");
)js");
  table.node("62-65 the network", R"js(
await unreachable(HOST.port, "127.0.0.1");
await unreachable(80, "169.254.169.254");
await unreachable(HOST.port, "::1");
await unreachable(HOST.socket);
await unreachable("\0" + HOST.abstract);
await rejected(import("node:dns/promises").then((dns) => dns.lookup("example.com")), "lookup");
await rejected(new Promise((resolve, reject) => net.createServer().on("error", reject).listen(8080, resolve)), "listen");
await rejected(new Promise((resolve, reject) => {
  const socket = dgram.createSocket("udp4");
  socket.on("error", reject);
  socket.send("x", HOST.port, "127.0.0.1", (error) => error ? reject(error) : resolve());
}), "udp");
)js");
  table.node_may_end("65 fetch", {kRaises},
                     "await rejected(fetch(`http://127.0.0.1:${HOST.port}/`), 'fetch');");
  table.node_may_end("66 the inspector", {kRaises, kCrashed, kTimeout}, R"js(
const inspector = await import("node:inspector");
inspector.open(9229, "127.0.0.1", false);
if (inspector.url() !== undefined) throw new Error("the inspector listens");
)js",
                     Pace::hasty);
  table.node("71 native code", R"js(
const library = "/assay/libassay-lock.so";
if (NAMESPACES) {
  fs.writeFileSync("/tmp/own.node", fs.readFileSync(library));
  refused(() => process.dlopen({ exports: {} }, "/tmp/own.node"));
}
refused(() => process.dlopen({ exports: {} }, library));
)js");
  table.node_may_end("72 a compiler after all", {kCrashed, kRaises, kForbidden, kMemory}, R"js(
v8.setFlagsFromString("--no-jitless");
v8.setFlagsFromString("--sparkplug");
const f = new Function("a", "let s = 0; for (let i = 0; i < 1e6; i++) s += i ^ a; return s;");
for (let i = 0; i < 5; i++) f(i);
)js",
                     Pace::hasty);
  table.node_may_end("72 web assembly", {kCrashed, kRaises}, R"js(
if (typeof WebAssembly !== "undefined")
  new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])));
)js");
  table.node("73 the bindings of Node", R"js(
const { spawn } = process.binding("spawn_sync");
const done = spawn({ file: "/bin/true", args: ["true"], envPairs: [], stdio: [] });
if (!(done.error < 0)) throw new Error("spawn_sync worked");
)js",
             {kCrashed, kRaises});
  table.node("74 a thread is in the same jail", R"js(
const worker = new Worker(`
  import childProcess from "node:child_process";
  import fs from "node:fs";
  import { parentPort } from "node:worker_threads";
  let found = "nothing";
  try { found = fs.readFileSync(${JSON.stringify(HOST.file)}, "utf8"); } catch {}
  try { process.kill(process.ppid, "SIGKILL"); found = "killed"; } catch {}
  try { childProcess.execFileSync("/bin/true"); found = "started"; } catch {}
  parentPort.postMessage(found);`, { eval: true });
const found = await new Promise((resolve, reject) => { worker.on("message", resolve); worker.on("error", reject); });
if (found !== "nothing") throw new Error(found);
)js");
  table.node_may_end("75 a snapshot of the heap", {kRaises, kCrashed, kOutput, kMemory}, R"js(
v8.writeHeapSnapshot("/tmp/snapshot");
)js");
}

}  // namespace

void add_node_attacks(Table& table) {
  add_resources(table);
  add_results(table);
  add_escapes(table);
}

}  // namespace assay::sandbox
