#!/usr/bin/env node
// Installs Node packages into /assay/packages, in a jail that reaches the registry by its proxy and nothing else. Says
// what is wrong on standard error, 1 on standard output.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");

const FOLDER = "/assay/packages", WORK = "/assay/packages/.work";
const asked = JSON.parse(fs.readFileSync(0)).metadata;
process.umask(0o022);
fs.mkdirSync(WORK);

const settings = {
  registry: asked.index, proxy: asked.proxy, "https-proxy": asked.proxy, noproxy: "",
  cache: `${WORK}/cache`, maxsockets: 5, "fetch-retries": 1, "fetch-timeout": 60000,
  audit: false, fund: false, "update-notifier": false, progress: false, loglevel: "error", "logs-max": 0,
};
if (asked.certificates) {
  fs.writeFileSync("/tmp/certificates", asked.certificates);
  settings.cafile = "/tmp/certificates";
}
fs.writeFileSync("/tmp/npmrc", Object.entries(settings).map(([key, value]) => `${key}=${value}\n`).join(""));
fs.writeFileSync(`${FOLDER}/package.json`, JSON.stringify({ private: true }));

const done = spawnSync("npm", ["install", "--prefix", FOLDER, "--", ...asked.requirements], {
  cwd: FOLDER,
  env: { ...process.env, HOME: WORK, TMPDIR: WORK, NPM_CONFIG_USERCONFIG: "/tmp/npmrc", NODE_EXTRA_CA_CERTS: settings.cafile ?? "" },
  stdio: ["ignore", 2, 2],
});
if (done.error) console.error(`cannot start npm: ${done.error.message}`);
if (done.status !== 0) process.exit(done.status || 1);
fs.rmSync(WORK, { recursive: true });
console.log(1);
