//! A lock that many processes compete for: `cargo run --example locks`.
//!
//! For: work that only one may do at a time. Taking the lock is one SET with NX and PX, so it frees itself
//! when its holder dies; giving it back is a script that deletes it only if it is still the caller's own.
//! May touch: the server.
//! Always: who did not take the lock cannot free it.

use redis::{Client, Connection, RedisResult};
use std::time::Duration;

/// Deletes the lock if it holds the caller's token.
const RELEASE: &str = "
    if redis.call('GET', KEYS[1]) == ARGV[1] then
        return redis.call('DEL', KEYS[1])
    end
    return 0";

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// Takes the lock `name` for at most `lease_ms` milliseconds, if it is free. `token` must be nobody else's.
pub fn try_lock(con: &mut Connection, name: &str, token: &str, lease_ms: u64) -> RedisResult<bool> {
    let taken: Option<String> =
        redis::cmd("SET").arg(name).arg(token).arg("NX").arg("PX").arg(lease_ms).query(con)?;
    Ok(taken.is_some())
}

/// Frees the lock; false if it was not the caller's any more.
pub fn unlock(con: &mut Connection, name: &str, token: &str) -> RedisResult<bool> {
    redis::cmd("EVAL").arg(RELEASE).arg(1).arg(name).arg(token).query(con)
}

/// Waits for the lock, works, and frees it.
pub fn with_lock<T>(
    con: &mut Connection,
    name: &str,
    token: &str,
    lease_ms: u64,
    work: impl FnOnce(&mut Connection) -> RedisResult<T>,
) -> RedisResult<T> {
    while !try_lock(con, name, token, lease_ms)? {
        std::thread::sleep(PAUSE);
    }
    let done = work(con);
    unlock(con, name, token)?;
    done
}

fn main() -> RedisResult<()> {
    let server = ochre::Server::builder().config("bind", "127.0.0.1").config("port", "0").start()?;
    let client = Client::open(format!("redis://{}", server.addr()))?;
    std::thread::scope(|scope| {
        let cook = |name: &'static str| {
            let mut con = client.get_connection()?;
            with_lock(&mut con, "kitchen", name, 10_000, |_| {
                println!("{name} is in the kitchen");
                std::thread::sleep(Duration::from_millis(20));
                println!("{name} leaves");
                Ok(())
            })
        };
        let cooks = ["Ada", "Grace", "Barbara"].map(|name| scope.spawn(move || cook(name)));
        cooks.into_iter().try_for_each(|it| it.join().expect("no cook panics"))
    })
}
