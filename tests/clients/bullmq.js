// A queue of jobs with BullMQ: node bullmq.js PORT.
//
// For: whether the library's own scripts, transactions, blocking commands and streams get from the server
// what they expect. May touch: the server at PORT, which it flushes.
// Always: what is waited for is an event or a state, never a time; what does not come ends the run.
"use strict";

const assert = require("assert").strict;
const Redis = require("ioredis");
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");

const port = Number(process.argv[2]);
// Longer than anything here waits for, in milliseconds.
const PATIENCE_MS = 30_000;
const opened = [];

// A part of the library with connections of its own.
function open(kind, ...args) {
  const options = typeof args.at(-1) === "object" ? args.pop() : {};
  const part = new kind(...args, { connection: { port, maxRetriesPerRequest: null }, ...options });
  part.on("error", (error) => fail(error));
  opened.push(part);
  return part;
}

function fail(error) {
  console.error(String(error.stack ?? error).slice(0, 2000));
  process.exit(1);
}

async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

const flows = {
  // Plain, prioritized and delayed jobs; a result, a failure with attempts, progress and logs.
  async jobs() {
    const queue = open(Queue, "jobs");
    const events = open(QueueEvents, "jobs");
    await events.waitUntilReady();
    const told = [];
    for (const kind of ["completed", "failed", "delayed", "progress", "retries-exhausted"]) {
      events.on(kind, ({ jobId }) => told.push(`${kind} ${jobId}`));
    }
    let attempts = 0;
    const order = [];
    const work = async (job) => {
      order.push(job.name);
      if (job.name === "stubborn" && ++attempts < 3) throw new Error(`attempt ${attempts}`);
      if (job.name === "hopeless") throw new Error("no");
      await job.updateProgress(50);
      await job.log("half");
      return job.data.n * 2;
    };

    const late = await queue.add("low", { n: 1 }, { priority: 10, jobId: "a-low" });
    await queue.add("high", { n: 2 }, { priority: 1, jobId: "a-high" });
    const plain = await queue.add("plain", { n: 3 }, { jobId: "a-plain" });
    assert.equal((await queue.add("plain", { n: 4 }, { jobId: "a-plain" })).id, "a-plain");
    assert.deepEqual(await queue.getJobCounts("wait", "prioritized"), { wait: 1, prioritized: 2 });
    const worker = open(Worker, "jobs", work, {});
    assert.equal(await plain.waitUntilFinished(events, PATIENCE_MS), 6);
    assert.equal(await late.waitUntilFinished(events, PATIENCE_MS), 2);
    assert.deepEqual(order.splice(0), ["plain", "high", "low"]);

    const delayed = await queue.add("delayed", { n: 5 }, { delay: 30, jobId: "a-delayed" });
    assert.equal(await delayed.waitUntilFinished(events, PATIENCE_MS), 10);
    assert((await queue.getJob("a-delayed")).processedOn >= delayed.timestamp + 30, "not before its time");

    const backoff = { type: "fixed", delay: 5 };
    const stubborn = await queue.add("stubborn", { n: 6 }, { attempts: 5, backoff, jobId: "a-stubborn" });
    assert.equal(await stubborn.waitUntilFinished(events, PATIENCE_MS), 12);
    assert.equal(attempts, 3);
    const hopeless = await queue.add("hopeless", {}, { attempts: 2, jobId: "a-hopeless" });
    await assert.rejects(hopeless.waitUntilFinished(events, PATIENCE_MS), /no/);
    await until(() => told.includes("retries-exhausted a-hopeless"), "the end of attempts is told");
    assert(told.includes("progress a-plain") && told.includes("delayed a-delayed"));
    assert.deepEqual((await queue.getJobLogs("a-plain")).logs, ["half"]);
    assert.deepEqual(await queue.getJobCounts("completed", "failed", "active"), {
      completed: 5,
      failed: 1,
      active: 0,
    });
    const { stacktrace } = await queue.getJob("a-hopeless");
    assert.equal(stacktrace.length, 2);

    await hopeless.remove();
    assert.equal((await queue.clean(0, 100, "completed")).length, 5);
    await worker.pause();
    await queue.pause();
    await queue.add("waits", { n: 0 });
    await queue.drain();
    await queue.resume();
    assert.equal(await queue.count(), 0);
    await queue.obliterate({ force: true });
  },

  // A job that comes again and again.
  async repeats() {
    const queue = open(Queue, "repeats");
    let runs = 0;
    await queue.upsertJobScheduler("tick", { every: 20 }, { name: "tick", data: { n: 1 } });
    const worker = open(Worker, "repeats", async () => (runs += 1), {});
    await until(() => runs >= 3, "three runs");
    const [scheduler] = await queue.getJobSchedulers();
    assert.equal(scheduler.every, 20);
    assert.equal(await queue.removeJobScheduler("tick"), true);
    assert.deepEqual(await queue.getJobSchedulers(), []);
    const left = async () => (await queue.getDelayedCount()) + (await queue.getActiveCount());
    await until(async () => (await left()) === 0, "the end");
    const counted = runs;
    await queue.upsertJobScheduler("thrice", { every: 20, limit: 3 }, { name: "thrice" });
    await until(() => runs >= counted + 3, "three more");
    await queue.upsertJobScheduler("seconds", { pattern: "* * * * * *" }, { name: "seconds" });
    await until(() => runs > counted + 3, "a run by a pattern");
    assert.equal(await queue.removeJobScheduler("seconds"), true);
    await worker.close();
  },

  // Eight workers, two hundred jobs, each done once.
  async competition() {
    const queue = open(Queue, "competition");
    const done = new Map();
    const work = async (job) => {
      done.set(job.data.n, (done.get(job.data.n) ?? 0) + 1);
    };
    const workers = Array.from({ length: 8 }, () => open(Worker, "competition", work, { concurrency: 4 }));
    const jobs = Array.from({ length: 200 }, (_, n) => ({
      name: "job",
      data: { n },
      opts: n % 2 ? { delay: n % 40 } : {},
    }));
    await queue.addBulk(jobs);
    await until(async () => (await queue.getCompletedCount()) === 200, "all jobs are done");
    assert.equal(done.size, 200);
    assert([...done.values()].every((times) => times === 1), "no job is done twice");
    await Promise.all(workers.map((worker) => worker.close()));
  },

  // A job that waits for its children.
  async families() {
    const child = (n) => ({ name: "child", queueName: "children", data: { n } });
    const children = [0, 1, 2].map(child);
    const flow = open(FlowProducer);
    const parents = open(Queue, "parents");
    const events = open(QueueEvents, "parents");
    await events.waitUntilReady();
    const { job } = await flow.add({ name: "parent", queueName: "parents", children });
    assert.equal(await job.getState(), "waiting-children");
    open(Worker, "children", async (job) => job.data.n, {});
    const sum = async (parent) => Object.values(await parent.getChildrenValues()).reduce((a, b) => a + b);
    open(Worker, "parents", sum, {});
    assert.equal(await job.waitUntilFinished(events, PATIENCE_MS), 3);
    assert.equal(await parents.getCompletedCount(), 1);
  },

  // At most two jobs in a while; keys that hold others back.
  async limits() {
    const queue = open(Queue, "limits");
    const worker = open(Worker, "limits", async () => {}, { limiter: { max: 2, duration: 50 } });
    await queue.addBulk(Array.from({ length: 5 }, (_, n) => ({ name: "job", data: { n } })));
    await until(async () => (await queue.getCompletedCount()) === 5, "limited jobs are done");
    const first = await queue.add("only", {}, { deduplication: { id: "one", ttl: 60_000 } });
    const second = await queue.add("only", {}, { deduplication: { id: "one", ttl: 60_000 } });
    assert.equal(second.id, first.id);
    assert.equal(await queue.removeDeduplicationKey("one"), 1);
    await worker.close();
  },
};

async function main() {
  const client = new Redis({ port });
  await client.flushall();
  for (const [name, flow] of Object.entries(flows)) {
    await flow().catch((error) => {
      console.error(`in ${name}:`);
      throw error;
    });
  }
  await Promise.all(opened.map((part) => part.close()));
  await client.quit();
  console.log(`BullMQ: ${Object.keys(flows).join(", ")}`);
}

process.on("unhandledRejection", fail);
main().catch(fail);
