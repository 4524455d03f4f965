//! Scripts.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: a script is propagated as what its commands did, never as itself.

/// A line, and what becomes of it. Spaces within a script are tabs.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("EVAL return\tredis.call('set',KEYS[1],ARGV[1]) 1 k v", "set k v"),
    ("EVAL return\tredis.call('get',KEYS[1]) 1 k", ""),
    (
        "EVAL redis.call('incr','n')redis.call('incrbyfloat','n',0.5)redis.call('del','none') 0",
        "incr n; SET n 1.5 KEEPTTL",
    ),
    ("EVAL redis.call('pexpire','n',100)return\t1 0", "PEXPIREAT n @100"),
    ("EVAL redis.call('set','m',1)error('x') 0", "set m 1"),
    ("EVAL redis.call('select',1)redis.call('set','o',1) 0", "[1] set o 1"),
    ("EVAL redis.set_repl(redis.REPL_NONE)redis.call('set','local',1)redis.call('del','local') 0", ""),
    (
        "EVAL redis.call('set','a',1)redis.set_repl(redis.REPL_ALL)redis.call('set','b',redis.call('get','a')) 0",
        "set a 1; set b 1",
    ),
    ("EVALSHA ffffffffffffffffffffffffffffffffffffffff 0", ""),
    ("EVAL redis.pcall('lpush','a',1)redis.pcall('set') 0", ""),
    ("MULTI", ""),
    ("EVAL redis.call('rpush','l',1,2)redis.call('lpop','l') 0", ""),
    ("SET after 1", ""),
    ("EXEC", "rpush l 1 2; lpop l; SET after 1"),
];
