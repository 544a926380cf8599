// graphile-worker with jobs that do nothing: node yardstick.cjs SOCKET_FOLDER JOBS
const { run, makeWorkerUtils } = require("graphile-worker");
const { Pool } = require("pg");

async function burn(pool, jobs, preset) {
  const utils = await makeWorkerUtils({ pgPool: pool });
  await utils.migrate();
  await pool.query("select graphile_worker.add_jobs(array(select json_populate_record(null::graphile_worker.job_spec, " +
    "json_build_object('identifier', 'nothing')) from generate_series(1, $1)))", [jobs]);
  await pool.query("vacuum analyze");
  let done = 0;
  let finished;
  const all = new Promise((resolve) => (finished = resolve));
  const begin = process.hrtime.bigint();
  const runner = await run({ pgPool: pool, concurrency: 24, noHandleSignals: true, preset,
    logger: new (require("graphile-worker").Logger)(() => () => {}),
    taskList: { nothing: async () => { if (++done === jobs) finished(); } } });
  await all;
  const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
  await runner.stop();
  await utils.release();
  return Math.round(jobs / seconds);
}

(async () => {
  const [folder, count] = process.argv.slice(2);
  const pool = new Pool({ host: folder, user: "assay", database: "postgres", max: 30 });
  const jobs = Number(count);
  const each = await burn(pool, Math.min(jobs, 20000), undefined);
  const batched = await burn(pool, jobs, { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } })
    .catch(() => null);
  console.log(JSON.stringify({ jobs_per_s: each, batched_jobs_per_s: batched }));
  await pool.end();
})().catch((error) => { console.error(error.message); process.exit(1); });
