// What attacks in JavaScript have at hand. HOST and MODE are put before this text by attack_run.cpp.
import childProcess from "node:child_process";
import dgram from "node:dgram";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import process from "node:process";
import v8 from "node:v8";
import { Worker } from "node:worker_threads";

const NAMESPACES = MODE !== "nons";

/// It has to throw.
function refused(what) {
  try {
    what();
  } catch {
    return;
  }
  throw new Error(`worked: ${what}`);
}

/// The promise has to be rejected.
async function rejected(promise, name) {
  const worked = await promise.then(() => true, () => false);
  if (worked) throw new Error(`worked: ${name}`);
}

/// Connecting has to fail.
function unreachable(...where) {
  return rejected(new Promise((resolve, reject) => {
    const socket = net.connect(...where);
    socket.on("connect", resolve);
    socket.on("error", reject);
  }), `connect ${where}`);
}

function frame(result) {
  const text = Buffer.from(JSON.stringify(result));
  const header = Buffer.alloc(4);
  header.writeUInt32LE(text.length);
  return Buffer.concat([header, text]);
}
