// Every family of commands through ioredis: node families.js PORT PROTOCOL.
//
// For: whether the library gets from the server what it expects. May touch: the server at PORT, which it
// flushes.
// Always: a family is one function, begins with an empty database and ends the run when an assertion fails.
"use strict";

const assert = require("assert").strict;
const Redis = require("ioredis");

const [port, protocol] = process.argv.slice(2).map(Number);
// Longer than anything here waits for, in milliseconds.
const PATIENCE_MS = 20_000;
const clients = [];

function connect() {
  const client = new Redis({ port, protocol, retryStrategy: null });
  clients.push(client);
  return client;
}

async function until(condition) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert(Date.now() < end, "waited in vain");
    await new Promise((done) => setTimeout(done, 5));
  }
}

// What waiting(connection) answers when it blocks and then() serves it.
async function meanwhile(r, waiting, then) {
  const blocked = async () => Number(/blocked_clients:(\d+)/.exec(await r.info("clients"))[1]);
  const before = await blocked();
  const answer = waiting(connect());
  await until(async () => (await blocked()) > before);
  await then();
  return answer;
}

// Whether a promise turns out as wanted.
async function is(promise, wanted) {
  assert.deepEqual(await promise, wanted);
}

async function refused(promise, words) {
  await assert.rejects(promise, (error) => error.message.includes(words));
}

// The pairs of a flat list.
function pairs(flat) {
  return flat.flatMap((item, i) => (i % 2 ? [] : [[item, flat[i + 1]]]));
}

const families = {
  async strings(r) {
    await is(r.set("a", "1", "EX", 100), "OK");
    await is(r.set("a", "2", "NX"), null);
    await is(r.incr("a"), 2);
    await is(r.incrbyfloat("a", 0.5), "2.5");
    await is(r.mset({ b: "x", c: "y" }), "OK");
    await is(r.mget("b", "c", "none"), ["x", "y", null]);
    await is(r.append("b", "yz"), 3);
    await is(r.getrange("b", 1, -1), "yz");
    await is(r.getdel("b"), "xyz");
    await refused(r.incr("c"), "not an integer");
    const bytes = Buffer.alloc(100_000, Buffer.from(Array.from({ length: 256 }, (_, n) => n)));
    await is(r.set("bytes", bytes), "OK");
    assert(bytes.equals(await r.getBuffer("bytes")));
  },

  async bitmaps(r) {
    await is(r.setbit("a", 7, 1), 0);
    await is(r.setbit("b", 0, 1), 0);
    await is(r.bitop("OR", "c", "a", "b"), 1);
    await is(r.bitcount("c"), 2);
    await is(r.bitpos("c", 0), 1);
    await is(r.bitfield("f", "OVERFLOW", "SAT", "SET", "u8", 0, 250, "INCRBY", "u8", 0, 10), [0, 255]);
  },

  async keysAndExpiry(r) {
    await r.mset(Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`key:${n}`, n])));
    const seen = new Set();
    for await (const keys of r.scanStream({ match: "key:*" })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, 1000);
    await is(r.rename("key:0", "zero"), "OK");
    await is(r.exists("key:0", "zero"), 1);
    await is(r.expire("zero", 100), 1);
    const ttl = await r.ttl("zero");
    assert(ttl > 90 && ttl <= 100, String(ttl));
    await is(r.persist("zero"), 1);
    await is(r.ttl("zero"), -1);
    await is(r.copy("zero", "null"), 1);
    await is(r.del("zero", "null"), 2);
    await is(r.psetex("short", 20, "v"), "OK");
    await until(async () => (await r.exists("short")) === 0);
    await r.rpush("s", 3, 1, 2);
    await is(r.sort("s", "DESC"), ["3", "2", "1"]);
    await is(r.type("s"), "list");
  },

  async lists(r) {
    await is(r.rpush("l", 0, 1, 2, 3), 4);
    await is(r.lpush("l", "first"), 5);
    await is(r.lrange("l", 0, 1), ["first", "0"]);
    await is(r.linsert("l", "BEFORE", "2", "x"), 6);
    await is(r.lpos("l", "x"), 3);
    await is(r.lrem("l", 1, "x"), 1);
    await is(r.lpop("l", 2), ["first", "0"]);
    await is(r.lmove("l", "m", "RIGHT", "LEFT"), "3");
    await is(r.lmpop(2, "none", "m", "LEFT"), ["m", ["3"]]);
    await is(r.blpop("none", 0.01), null);
    await is(meanwhile(r, (c) => c.blpop("p", "q", 0), () => r.rpush("q", "v")), ["q", "v"]);
    await is(meanwhile(r, (c) => c.blmove("p", "to", "LEFT", "RIGHT", 0), () => r.rpush("p", "w")), "w");
    await is(r.lrange("to", 0, -1), ["w"]);
    await refused(r.incr("to"), "WRONGTYPE");
  },

  async hashes(r) {
    await is(r.hset("h", { a: 1, b: "x", c: 2 }), 3);
    await is(r.hgetall("h"), { a: "1", b: "x", c: "2" });
    await is(r.hmget("h", "a", "none"), ["1", null]);
    await is(r.hincrby("h", "a", 4), 5);
    await is(r.hdel("h", "b", "none"), 1);
    const found = {};
    for await (const flat of r.hscanStream("h")) Object.assign(found, Object.fromEntries(pairs(flat)));
    assert.deepEqual(found, { a: "5", c: "2" });
    await is(r.hexpire("h", 100, "FIELDS", 2, "a", "none"), [1, -2]);
    const [httl, none] = await r.httl("h", "FIELDS", 2, "a", "c");
    assert(httl > 90 && httl <= 100 && none === -1, `${httl} ${none}`);
    await is(r.hpersist("h", "FIELDS", 1, "a"), [1]);
    await is(r.hpexpire("h", 20, "FIELDS", 1, "a"), [1]);
    await until(async () => (await r.hexists("h", "a")) === 0);
    await is(r.hgetall("h"), { c: "2" });
    await is(r.hgetall("none"), {});
  },

  async sets(r) {
    await is(r.sadd("s", "a", "b", "c", "a"), 3);
    await is(r.sadd("t", ["b", "z"]), 2);
    assert.deepEqual((await r.smembers("s")).sort(), ["a", "b", "c"]);
    await is(r.smismember("s", "a", "z"), [1, 0]);
    await is(r.sinter("s", "t"), ["b"]);
    await is(r.sintercard(2, "s", "t"), 1);
    await is(r.sdiffstore("d", "s", "t"), 2);
    await is(r.srem("s", "a", "c"), 2);
    await is(r.spop("s"), "b");
    await is(r.exists("s"), 0);
    await r.sadd("n", Array.from({ length: 2000 }, (_, n) => n));
    const seen = new Set();
    for await (const members of r.sscanStream("n")) members.forEach((member) => seen.add(member));
    assert.equal(seen.size, 2000);
  },

  async sortedSets(r) {
    await is(r.zadd("z", 1, "a", 2, "b", 3.5, "c"), 3);
    await is(r.zadd("z", "GT", "CH", 0, "a"), 0);
    assert.equal(Number(await r.zscore("z", "c")), 3.5);
    await is(r.zrank("z", "b"), 1);
    await is(r.zrange("z", "(1", "+inf", "BYSCORE", "LIMIT", 0, 1), ["b"]);
    await is(r.zrevrange("z", 0, 0), ["c"]);
    await is(r.zcount("z", 2, 4), 2);
    await is(r.zadd("y", 10, "b"), 1);
    await is(r.zinterstore("i", 2, "z", "y", "WEIGHTS", 2, 1), 1);
    assert.equal(Number(await r.zscore("i", "b")), 14);
    await is(r.zdiff(2, "z", "y"), ["a", "c"]);
    assert.deepEqual((await r.zpopmin("z")).flat().map(String), ["a", "1"]);
    const served = await meanwhile(r, (c) => c.bzpopmin("p", "q", 0), () => r.zadd("q", 1.25, "v"));
    assert.deepEqual(served.map(String), ["q", "v", "1.25"]);
    await is(r.exists("q"), 0);
  },

  async geo(r) {
    await is(r.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2);
    await is(r.geodist("g", "Palermo", "Catania", "km"), "166.2742");
    await is(r.geohash("g", "Palermo"), ["sqc8b49rny0"]);
    await is(r.geosearch("g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC"), ["Catania", "Palermo"]);
    const [[longitude]] = await r.geopos("g", "Palermo");
    assert(Math.abs(Number(longitude) - 13.361389) < 1e-5);
  },

  async hyperloglog(r) {
    await is(r.pfadd("a", "x", "y"), 1);
    await is(r.pfadd("b", "y", "z"), 1);
    await is(r.pfcount("a", "b"), 3);
    await is(r.pfmerge("c", "a", "b"), "OK");
    await is(r.pfcount("c"), 3);
  },

  async streams(r) {
    // Entries of the only stream in a reply, which is a map in RESP3 and a list of pairs in RESP2.
    const entries = (reply) => (Array.isArray(reply) ? reply[0][1] : Object.values(reply)[0]);
    const first = await r.xadd("x", "*", "n", 1);
    const second = await r.xadd("x", "*", "n", 2);
    await is(r.xrange("x", "-", "+"), [[first, ["n", "1"]], [second, ["n", "2"]]]);
    assert.deepEqual(entries(await r.xread("STREAMS", "x", first)), [[second, ["n", "2"]]]);
    await is(r.xgroup("CREATE", "x", "g", 0), "OK");
    await refused(r.xgroup("CREATE", "x", "g", 0), "BUSYGROUP");
    const read = (c, ...how) => c.xreadgroup("GROUP", "g", "alice", ...how, "STREAMS", "x", ">");
    assert.deepEqual(entries(await read(r, "COUNT", 1)), [[first, ["n", "1"]]]);
    await is(r.xack("x", "g", first), 1);
    assert.deepEqual(entries(await read(r)), [[second, ["n", "2"]]]);
    await is(r.xpending("x", "g"), [1, second, second, [["alice", "1"]]]);
    await is(r.xclaim("x", "g", "bob", 0, second), [[second, ["n", "2"]]]);
    await is(r.xautoclaim("x", "g", "carol", 0, "0"), ["0-0", [[second, ["n", "2"]]], []]);
    const served = await meanwhile(r, (c) => read(c, "BLOCK", 0), () => r.xadd("x", "*", "n", 3));
    assert.deepEqual(entries(served).map(([, fields]) => fields), [["n", "3"]]);
    await is(r.xlen("x"), 3);
    await is(r.xtrim("x", "MAXLEN", 1), 2);
    await is(r.xgroup("DESTROY", "x", "g"), 1);
  },

  async transactions(r) {
    await is(r.multi().set("a", 1).incr("a").rpush("l", "x").exec(), [[null, "OK"], [null, 2], [null, 1]]);
    const replies = await r.multi().set("t", "x").incr("t").set("u", 1).exec();
    assert.equal(replies[0][1], "OK");
    assert(replies[1][0].message.includes("not an integer"));
    assert.equal(replies[2][1], "OK");
    await is(r.watch("a"), "OK");
    await connect().set("a", "won");
    await is(r.multi().set("a", "lost").exec(), null);
    await is(r.get("a"), "won");
    await is(r.watch("a"), "OK");
    await is(r.multi().set("a", "ours").exec(), [[null, "OK"]]);
    await is(r.pipeline().get("a").get("none").exec(), [[null, "ours"], [null, null]]);
  },

  async scripts(r) {
    const lua = "return {redis.call('INCRBY', KEYS[1], ARGV[1]), KEYS[1]}";
    r.defineCommand("add", { numberOfKeys: 1, lua });
    await is(r.add("n", 5), [5, "n"]);
    await is(r.add("n", 2), [7, "n"]);
    await is(r.script("FLUSH"), "OK");
    await is(r.add("n", 1), [8, "n"]);
    await is(r.eval("return {1, 'two', {3}, false}", 0), [1, "two", [3], null]);
    await is(r.multi().set("m", 1).add("m", 1).exec(), [[null, "OK"], [null, [2, "m"]]]);
    await refused(r.eval("return redis.error_reply('MINE own words')", 0), "own words");
    await refused(r.evalsha("0".repeat(40), 0), "No matching script");
  },

  async pubsub(r) {
    const got = [];
    const subscriber = connect();
    subscriber.on("message", (channel, message) => got.push([channel, message]));
    subscriber.on("pmessage", (pattern, channel, message) => got.push([pattern, channel, message]));
    await is(subscriber.subscribe("news", "sport"), 2);
    await is(subscriber.psubscribe("w*"), 3);
    await is(r.publish("news", "one"), 1);
    await is(r.publish("weather", "rain"), 1);
    await is(r.publish("nobody", "hears"), 0);
    await until(() => got.length === 2);
    assert.deepEqual(got, [["news", "one"], ["w*", "weather", "rain"]]);
    await is(subscriber.unsubscribe("news", "sport"), 1);
    await is(subscriber.punsubscribe("w*"), 0);
    await is(subscriber.ping(), "PONG");
  },

  // Counters that survive only if a watched key and a script let one through at a time, and subscribers that
  // hear of each step, in order.
  async contention(r) {
    const steps = [];
    const subscriber = connect();
    subscriber.on("message", (_, message) => steps.push(Number(message)));
    await subscriber.subscribe("steps");
    const lua = "local n = redis.call('INCR', KEYS[1]) redis.call('PUBLISH', 'steps', n) return n";
    const add = async () => {
      const mine = connect();
      mine.defineCommand("step", { numberOfKeys: 1, lua });
      for (let n = 0; n < 10; n += 1) {
        assert((await mine.step("scripted")) > n);
        let done = null;
        while (done === null) {
          await mine.watch("watched");
          const value = Number(await mine.get("watched"));
          done = await mine.multi().set("watched", value + 1).exec();
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, add));
    await is(r.mget("scripted", "watched"), ["80", "80"]);
    await until(() => steps.length === 80);
    assert.deepEqual(steps, Array.from({ length: 80 }, (_, n) => n + 1));
  },

  async keyspaceEvents(r) {
    await is(r.config("SET", "notify-keyspace-events", "KEA"), "OK");
    const got = new Set();
    const subscriber = connect();
    subscriber.on("pmessage", (_, channel, message) => got.add(`${channel.split("@0__:")[1]} ${message}`));
    await is(subscriber.psubscribe("__key*@0__:*"), 1);
    await r.set("k", "v");
    await r.zadd("z", 1, "m");
    await r.psetex("short", 10, "v");
    await until(() => got.has("short expired") && got.has("expired short"));
    await is(r.config("SET", "notify-keyspace-events", ""), "OK");
    for (const event of ["k set", "set k", "z zadd", "zadd z", "short expire"]) assert(got.has(event), event);
  },
};

async function main() {
  // What was agreed on: before version 6 the library knows only RESP2.
  const [, spoken] = /resp=(\d)/.exec(await connect().client("INFO"));
  for (const family of Object.values(families)) {
    const r = connect();
    await r.flushall();
    await family(r);
    clients.splice(0).forEach((client) => client.disconnect());
  }
  const { version } = require("ioredis/package.json");
  console.log(`ioredis ${version} with RESP${spoken}: ${Object.keys(families).join(" ")}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
