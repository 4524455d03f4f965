"""Every family of commands through redis-py: families.py PORT PROTOCOL.

For: whether the library gets from the server what it expects. May touch: the server at PORT, which it
flushes.
Always: a family is one function, begins with an empty database and ends the run when an assertion fails.
"""

import sys
import threading
import time

import redis

PORT, PROTOCOL = int(sys.argv[1]), int(sys.argv[2])
# Longer than anything here waits for, in seconds.
PATIENCE = 20


def connect():
    return redis.Redis(port=PORT, protocol=PROTOCOL, decode_responses=True, socket_timeout=PATIENCE)


def meanwhile(r, waiting, then):
    """What waiting(connection) answers when it blocks and then(r) serves it."""
    answers = []
    before = r.info("clients")["blocked_clients"]
    thread = threading.Thread(target=lambda: answers.append(waiting(connect())), daemon=True)
    thread.start()
    until(lambda: r.info("clients")["blocked_clients"] > before)
    then(r)
    thread.join(PATIENCE)
    assert len(answers) == 1, "a blocked client was not served"
    return answers[0]


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def refused(call, words):
    try:
        call()
    except redis.ResponseError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"'{words}' was expected")


def strings(r):
    assert r.set("a", "1", ex=100) and r.get("a") == "1" and 0 < r.ttl("a") <= 100
    assert r.set("a", "2", nx=True) is None and r.incr("a") == 2 and r.incrbyfloat("a", 0.5) == 2.5
    assert r.set("a", "xyz", get=True) == "2.5" and r.append("a", "!") == 4 and r.strlen("a") == 4
    assert r.mset({"b": "x", "c": "y"}) and r.mget("b", "c", "none") == ["x", "y", None]
    assert r.msetnx({"b": 0, "d": 0}) is False and r.getrange("a", 1, -2) == "yz"
    assert r.setrange("a", 5, "z") == 6 and r.get("a") == "xyz!\0z"
    assert r.getdel("a") == "xyz!\0z" and r.getex("b", px=50_000) == "x" and r.pttl("b") > 0
    assert r.lcs("b", "b", len=True) == 1
    refused(lambda: r.incr("c"), "not an integer")
    binary = redis.Redis(port=PORT, protocol=PROTOCOL)
    every_byte = bytes(range(256)) * 400
    assert binary.set("bytes", every_byte) and binary.get("bytes") == every_byte


def bitmaps(r):
    assert r.setbit("a", 7, 1) == 0 and r.getbit("a", 7) == 1 and r.bitcount("a") == 1
    assert r.setbit("b", 0, 1) == 0 and r.bitop("OR", "c", "a", "b") == 1 and r.bitpos("c", 0) == 1
    field = r.bitfield("f", default_overflow="SAT")
    assert field.set("u8", 0, 250).incrby("u8", 0, 10).get("u4", 0).execute() == [0, 255, 15]


def keys_and_expiry(r):
    r.mset({f"key:{n}": n for n in range(1000)})
    assert len(set(r.scan_iter("key:*", count=100))) == 1000 and r.dbsize() == 1000
    assert r.rename("key:0", "zero") and r.copy("zero", "null") and r.type("null") == "string"
    assert r.exists("key:0", "zero", "zero") == 2 and r.delete("zero", "null") == 2 and r.unlink("key:1") == 1
    assert r.expire("key:2", 100) and not r.expire("key:2", 50, gt=True) and r.persist("key:2")
    assert r.ttl("key:2") == -1 and r.ttl("none") == -2 and r.object("encoding", "key:2") == "int"
    at = int(time.time()) + 1000
    assert r.expireat("key:2", at) and r.expiretime("key:2") == at and r.move("key:2", 9)
    assert r.psetex("short", 20, "v")
    until(lambda: not r.exists("short"))
    r.rpush("s", 3, 1, 2)
    assert r.sort("s", desc=True) == ["3", "2", "1"] and r.sort("s", store="t") == 3
    assert r.lrange("t", 0, -1) == ["1", "2", "3"]


def lists(r):
    assert r.rpush("l", *range(5)) == 5 and r.lpush("l", "first") == 6 and r.lindex("l", -1) == "4"
    assert r.lrange("l", 0, 1) == ["first", "0"] and r.linsert("l", "BEFORE", "2", "x") == 7
    assert r.lrem("l", 1, "x") == 1 and r.lset("l", 0, "f") and r.lpos("l", "3") == 4
    assert r.ltrim("l", 0, 3) and r.lpop("l") == "f" and r.rpop("l", 2) == ["2", "1"]
    assert r.lmove("l", "m", "LEFT", "RIGHT") == "0" and not r.exists("l")
    assert r.lmpop(2, "l", "m", direction="LEFT") == ["m", ["0"]] and r.blpop("l", 0.01) is None
    assert list(meanwhile(r, lambda c: c.blpop(["p", "q"], 0), lambda r: r.rpush("q", "v"))) == ["q", "v"]
    moved = meanwhile(r, lambda c: c.blmove("p", "to", 0), lambda r: r.rpush("p", "w"))
    assert moved == "w" and r.lrange("to", 0, -1) == ["w"]
    refused(lambda: r.incr("to"), "WRONGTYPE")


def hashes(r):
    assert r.hset("h", mapping={"a": 1, "b": "x", "c": 2}) == 3 and r.hget("h", "a") == "1"
    assert r.hlen("h") == 3
    assert r.hgetall("h") == {"a": "1", "b": "x", "c": "2"} and r.hmget("h", "a", "none") == ["1", None]
    assert r.hincrby("h", "a", 4) == 5 and r.hincrbyfloat("h", "a", 0.5) == 5.5 and r.hsetnx("h", "a", 0) == 0
    assert r.hdel("h", "b", "none") == 1 and r.hexists("h", "a") and r.hstrlen("h", "a") == 3
    assert sorted(r.hkeys("h")) == ["a", "c"] and sorted(r.hvals("h")) == ["2", "5.5"]
    assert dict(r.hscan_iter("h")) == {"a": "5.5", "c": "2"} and r.hrandfield("h") in ("a", "c")
    assert r.hexpire("h", 100, "a", "none") == [1, -2] and 0 < r.httl("h", "a")[0] <= 100
    assert r.hpersist("h", "a", "c") == [1, -1] and r.httl("h", "a") == [-1]
    assert r.hpexpire("h", 20, "a") == [1]
    until(lambda: not r.hexists("h", "a"))
    assert r.hgetall("h") == {"c": "2"}
    assert r.hsetex("i", mapping={"d": "4", "e": "5"}, ex=50) == 1
    assert r.hgetex("i", "d", persist=True) == ["4"]
    assert r.hgetdel("i", "d", "e") == ["4", "5"] and not r.exists("i")


def sets(r):
    assert r.sadd("s", "a", "b", "c", "a") == 3 and r.smembers("s") == {"a", "b", "c"} and r.scard("s") == 3
    assert r.sismember("s", "a") and r.smismember("s", ["a", "z"]) == [1, 0] and r.srem("s", "a", "z") == 1
    assert r.sadd("t", "b", "z") == 2 and set(r.sinter("s", "t")) == {"b"}
    assert set(r.sunion("s", "t")) == {"b", "c", "z"}
    assert set(r.sdiff("s", "t")) == {"c"} and r.sinterstore("i", "s", "t") == 1
    assert r.sintercard(2, ["s", "t"]) == 1
    assert r.smove("s", "t", "c") and r.spop("s") == "b" and not r.exists("s")
    assert r.sadd("n", *range(2000)) == 2000 and len(set(r.sscan_iter("n"))) == 2000
    assert len(set(r.srandmember("n", 10))) == 10 and r.object("encoding", "n") == "hashtable"


def pairs(reply):
    """Members and scores: pairs are tuples in RESP2 and lists in RESP3."""
    return [tuple(pair) for pair in reply]


def sorted_sets(r):
    assert r.zadd("z", {"a": 1, "b": 2, "c": 3.5}) == 3 and r.zscore("z", "c") == 3.5 and r.zcard("z") == 3
    assert r.zadd("z", {"a": 9}, nx=True) == 0 and r.zadd("z", {"a": 0}, gt=True, ch=True) == 0
    assert r.zincrby("z", 0.5, "a") == 1.5 and r.zrank("z", "b") == 1 and r.zrevrank("z", "b") == 1
    assert r.zrange("z", 0, -1) == ["a", "b", "c"]
    assert pairs(r.zrange("z", 0, 0, withscores=True)) == [("a", 1.5)]
    assert r.zrange("z", "(1.5", "+inf", byscore=True, offset=0, num=1) == ["b"]
    assert r.zrangebyscore("z", "-inf", 2) == ["a", "b"] and r.zrevrange("z", 0, 0) == ["c"]
    assert r.zcount("z", 2, 4) == 2 and r.zmscore("z", ["a", "none"]) == [1.5, None]
    assert r.zadd("y", {"b": 10, "d": 1}) == 2 and pairs(r.zinter(["z", "y"], withscores=True)) == [("b", 12)]
    assert r.zunionstore("u", {"z": 2, "y": 1}, aggregate="MAX") == 4 and r.zscore("u", "b") == 10
    assert r.zdiff(["z", "y"]) == ["a", "c"] and r.zrangestore("w", "z", 0, 1) == 2
    assert pairs(r.zpopmin("z", 1)) == [("a", 1.5)] and r.zremrangebyscore("z", 3, 4) == 1
    key, popped = r.zmpop(2, ["none", "z"], max=True)
    assert key == "z" and [(name, float(score)) for name, score in popped] == [("b", 2)]
    assert r.zadd("n", {f"m{n}": n for n in range(500)}) == 500 and len(list(r.zscan_iter("n"))) == 500
    served = meanwhile(r, lambda c: c.bzpopmin(["p", "q"], 0), lambda r: r.zadd("q", {"v": 1.25}))
    assert tuple(served) == ("q", "v", 1.25) and not r.exists("q")


def geo(r):
    places = (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")
    assert r.geoadd("g", places) == 2 and abs(r.geodist("g", "Palermo", "Catania", "km") - 166.2742) < 1e-4
    assert r.geohash("g", "Palermo") == ["sqc8b49rny0"] and r.geopos("g", "none") == [None]
    found = r.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC")
    assert found == ["Catania", "Palermo"]
    near = r.geosearch("g", member="Palermo", width=10, height=10, unit="km", withdist=True, withcoord=True)
    name, distance, (longitude, latitude) = near[0]
    assert (name, float(distance)) == ("Palermo", 0) and abs(longitude - 13.361389) < 1e-5
    assert abs(latitude - 38.115556) < 1e-5
    assert r.geosearchstore("h", "g", member="Palermo", radius=1, unit="km") == 1 and r.zcard("h") == 1


def hyperloglog(r):
    assert r.pfadd("a", *range(1000)) == 1 and r.pfadd("a", 1) == 0 and abs(r.pfcount("a") - 1000) < 50
    assert r.pfadd("b", "x", "y") == 1 and r.pfcount("b") == 2 and r.pfmerge("c", "a", "b")
    assert abs(r.pfcount("c") - 1002) < 50 and r.type("c") == "string"


def delivered(reply):
    """Entries of the only stream in a reply, which is a map in RESP3 and a list of pairs in RESP2."""
    entries = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    return entries[0] if entries and isinstance(entries[0], list) else entries


def streams(r):
    first, second = r.xadd("x", {"n": 1}), r.xadd("x", {"n": 2, "m": "v"})
    assert r.xlen("x") == 2 and r.xrange("x")[1] == (second, {"n": "2", "m": "v"})
    assert r.xrevrange("x", count=1)[0][0] == second and delivered(r.xread({"x": first}))[0][0] == second
    assert r.xgroup_create("x", "g", id="0") and r.xgroup_createconsumer("x", "g", "idle") == 1
    refused(lambda: r.xgroup_create("x", "g"), "BUSYGROUP")
    assert [id for id, _ in delivered(r.xreadgroup("g", "alice", {"x": ">"}, count=1))] == [first]
    assert r.xpending("x", "g")["pending"] == 1 and r.xack("x", "g", first) == 1
    assert [id for id, _ in delivered(r.xreadgroup("g", "alice", {"x": ">"}))] == [second]
    assert [e["message_id"] for e in r.xpending_range("x", "g", "-", "+", 10)] == [second]
    assert [id for id, _ in r.xclaim("x", "g", "bob", 0, [second])] == [second]
    assert [id for id, _ in r.xautoclaim("x", "g", "carol", 0)[1]] == [second]
    wait = lambda c: c.xreadgroup("g", "alice", {"x": ">"}, block=0)
    served = meanwhile(r, wait, lambda r: r.xadd("x", {"n": 3}))
    assert [fields for _, fields in delivered(served)] == [{"n": "3"}]
    served = meanwhile(r, lambda c: c.xread({"x": "$"}, block=0), lambda r: r.xadd("x", {"n": 4}))
    assert [fields for _, fields in delivered(served)] == [{"n": "4"}]
    group = r.xinfo_groups("x")[0]
    assert (group["name"], group["pending"], group["lag"]) == ("g", 2, 1)
    assert r.xinfo_stream("x")["length"] == 4
    assert {c["name"]: c["pending"] for c in r.xinfo_consumers("x", "g")} == {
        "alice": 1, "bob": 0, "carol": 1, "idle": 0
    }
    assert r.xdel("x", first) == 1 and r.xtrim("x", maxlen=1, approximate=False) == 2
    assert r.xgroup_destroy("x", "g") == 1


def transactions(r):
    with r.pipeline() as pipe:
        assert pipe.set("a", 1).incr("a").rpush("l", "x").execute() == [True, 2, 1]
        pipe.watch("a")
        pipe.multi()
        pipe.set("a", "lost")
        r.set("a", "won")
        try:
            pipe.execute()
            raise AssertionError("a watched key was changed unseen")
        except redis.WatchError:
            assert r.get("a") == "won"
    r.set("n", 5)

    def double(pipe):
        value = int(pipe.get("n"))
        pipe.multi()
        pipe.set("n", value * 2)

    assert r.transaction(double, "n") == [True] and r.get("n") == "10"
    replies = r.pipeline().set("t", "x").incr("t").set("u", 1).execute(raise_on_error=False)
    assert replies[0] and isinstance(replies[1], redis.ResponseError) and replies[2] and r.get("u") == "1"


def scripts(r):
    raise_to = r.register_script("""
        local now = tonumber(redis.call('GET', KEYS[1]) or 0)
        if now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
        return {now, redis.call('GET', KEYS[1])}
    """)
    assert raise_to(keys=["n"], args=[5]) == [0, "5"] and raise_to(keys=["n"], args=[3]) == [5, "5"]
    assert r.script_exists(raise_to.sha) == [True] and r.script_flush()
    assert raise_to(keys=["n"], args=[9]) == [5, "9"]
    assert r.eval("return {1, 'two', {3}, false}", 0) == [1, "two", [3], None]
    refused(lambda: r.eval("return redis.error_reply('MINE own words')", 0), "own words")
    refused(lambda: r.evalsha("0" * 40, 0), "No matching script")
    with r.lock("lock", timeout=10) as lock:
        assert lock.owned() and not connect().lock("lock").acquire(blocking=False) and lock.extend(5)
    assert not r.exists("lock")


def listening(subscriber, publish):
    """Runs the subscriber in a thread of its own and publishes; its handlers collect."""
    problems = []
    note = lambda error, *_: problems.append(error)
    thread = subscriber.run_in_thread(sleep_time=0.01, daemon=True, exception_handler=note)
    try:
        publish()
    finally:
        thread.stop()
        thread.join(PATIENCE)
    assert not problems and not thread.is_alive(), problems


def pubsub(r):
    got = []
    subscriber = connect().pubsub(ignore_subscribe_messages=True)
    note = lambda message: got.append((message["channel"], message["data"]))
    subscriber.subscribe(**{"news": note})
    subscriber.psubscribe(**{"w*": note})

    def publish():
        until(lambda: r.pubsub_numsub("news")[0][1] == 1 and r.pubsub_numpat() == 1)
        assert r.pubsub_channels() == ["news"] and r.publish("news", "one") == 1
        assert r.publish("weather", "rain") == 1 and r.publish("nobody", "hears") == 0
        until(lambda: len(got) == 2)

    listening(subscriber, publish)
    assert got == [("news", "one"), ("weather", "rain")], got
    shard = connect().pubsub(ignore_subscribe_messages=True)
    shard.ssubscribe("shard")
    until(lambda: r.pubsub_shardnumsub("shard")[0][1] == 1)
    assert r.spublish("shard", "x") == 1


def together(count, act):
    """Runs act(connection, n) in threads of their own."""
    problems = []

    def run(n):
        try:
            act(connect(), n)
        except Exception as error:  # Told below, by the thread that counts.
            problems.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not problems and not any(thread.is_alive() for thread in threads), problems


def contention(r):
    """Counters that survive only if a lock, a watched key and a script let one through at a time."""

    def add(connection, n):
        for _ in range(10):
            with connection.lock("lock", timeout=PATIENCE, sleep=0.001):
                connection.set("locked", int(connection.get("locked") or 0) + 1)

            def increment(pipe):
                value = int(pipe.get("watched") or 0)
                pipe.multi()
                pipe.set("watched", value + 1).rpush("seen", value)

            connection.transaction(increment, "watched")
            assert step(keys=["scripted"], client=connection) > 0

    step = r.register_script("""
        local value = tonumber(redis.call('GET', KEYS[1]) or 0) + 1
        redis.call('SET', KEYS[1], value)
        return value
    """)
    together(8, add)
    assert r.mget("locked", "watched", "scripted") == ["80", "80", "80"]
    assert r.lrange("seen", 0, -1) == [str(n) for n in range(80)]


def keyspace_events(r):
    got = []
    assert r.config_set("notify-keyspace-events", "KEA")
    subscriber = connect().pubsub(ignore_subscribe_messages=True)
    note = lambda message: got.append((message["channel"].partition(":")[2], message["data"]))
    subscriber.psubscribe(**{"__key*@0__:*": note})

    def publish():
        until(lambda: r.pubsub_numpat() == 1)
        r.set("k", "v")
        r.hset("h", "f", "v")
        r.set("short", "v", px=10)
        until(lambda: ("short", "expired") in got and ("expired", "short") in got)

    listening(subscriber, publish)
    assert r.config_set("notify-keyspace-events", "")
    for key, event in (("k", "set"), ("h", "hset"), ("short", "expire")):
        assert (key, event) in got and (event, key) in got, got


FAMILIES = (strings, bitmaps, keys_and_expiry, lists, hashes, sets, sorted_sets, geo, hyperloglog, streams,
            transactions, scripts, pubsub, contention, keyspace_events)

for family in FAMILIES:
    connection = connect()
    connection.flushall()
    family(connection)
    connection.close()
print(f"redis-py {redis.__version__} with RESP{PROTOCOL}:", *(family.__name__ for family in FAMILIES))
